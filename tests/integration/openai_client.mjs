// What the official Node client does at the front door: `node openai_client.mjs CASE`, or no case
// for their names. The environment says where: GONI_URL, GONI_KEY, and CLIENT, the folder in which
// the package lies. A case that fails throws.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const { CLIENT, GONI_URL, GONI_KEY = "none", RECITED } = process.env;
const OpenAI = createRequire(`${CLIENT}/`)("openai");

const client = new OpenAI({ baseURL: `${GONI_URL}/v1`, apiKey: GONI_KEY, maxRetries: 0 });
const hello = [{ role: "user", content: "Where does the key hang?" }];
const schema = {
  type: "object",
  properties: { answer: { type: "string", enum: ["yes", "no"] } },
  required: ["answer"],
  additionalProperties: false,
};
const light = { name: "light", description: "Switch the light", parameters: schema };

async function refused(kind, asked) {
  try {
    await asked;
  } catch (error) {
    assert.ok(error instanceof kind, `${error.constructor.name}: ${error.message}`);
    return error;
  }
  throw new Error("it was not refused");
}

const cases = {
  async models() {
    const found = [];
    for await (const model of client.models.list()) found.push(model.id);
    assert.ok(found.includes("recites") && found.includes("all-MiniLM-L6-v2"), `${found}`);
    assert.equal((await client.models.retrieve("recites")).owned_by, "goni");
  },

  async chat() {
    const { data, request_id } = await client.chat.completions
      .create({ model: "recites", messages: hello })
      .withResponse();
    assert.equal(data.choices[0].message.content.trim(), RECITED);
    assert.equal(data.choices[0].finish_reason, "stop");
    assert.equal(
      data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);
    assert.equal(data.goni.sources[0].document, "note.txt");
    assert.match(request_id, /^req-/);
  },

  async stream() {
    const stream = await client.chat.completions.create({
      model: "recites", messages: hello, stream: true, stream_options: { include_usage: true },
    });
    const parts = [];
    for await (const part of stream) parts.push(part);
    const said = parts.map((part) => part.choices[0]?.delta?.content ?? "");
    assert.ok(said.filter(Boolean).length > 5);
    assert.equal(said.join("").trim(), RECITED);
    assert.equal(parts[0].goni.sources[0].document, "note.txt");
    assert.ok(parts.at(-1).usage.completion_tokens > 5);
  },

  async streamHelper() {
    const stream = client.chat.completions.stream({ model: "recites", messages: hello });
    let said = "";
    stream.on("content", (more) => { said += more; });
    assert.equal((await stream.finalContent()).trim(), RECITED);
    assert.equal(said.trim(), RECITED);
  },

  async hangUp() {
    const stream = await client.chat.completions.create({
      model: "tiny", messages: hello, stream: true, max_tokens: 10000,
    });
    for await (const part of stream) if (part.choices[0]?.delta?.content) break;
    stream.controller.abort();
    assert.equal((await client.chat.completions.create({ model: "recites", messages: hello }))
      .choices[0].message.content.trim(), RECITED);
  },

  async tools() {
    const messages = [{ role: "user", content: "light on" }];
    const tools = [{ type: "function", function: light }];
    const first = (await client.chat.completions.create({
      model: "calls", messages, tools, tool_choice: "required",
    })).choices[0];
    assert.equal(first.finish_reason, "tool_calls");
    const [call] = first.message.tool_calls;
    assert.equal(call.function.name, "light");
    assert.deepEqual(JSON.parse(call.function.arguments), { answer: "yes" });
    messages.push(first.message, { role: "tool", tool_call_id: call.id, content: "it is on" });
    const second = await client.chat.completions.create({
      model: "calls", messages, tools, tool_choice: "none",
    });
    assert.ok(second.usage.prompt_tokens > 0);
  },

  async runTools() {
    const given = [];
    const tool = { ...light, parse: JSON.parse, function: (asked) => { given.push(asked); return "on"; } };
    const runner = client.chat.completions.runTools(
      {
        model: "calls",
        messages: [{ role: "user", content: "light on" }],
        tools: [{ type: "function", function: tool }],
      },
      { maxChatCompletions: 2 },
    );
    await runner.done();
    assert.deepEqual(given[0], { answer: "yes" });
  },

  async schema() {
    const said = await client.chat.completions.create({
      model: "tiny", messages: hello, max_tokens: 200,
      response_format: { type: "json_schema", json_schema: { name: "a", schema, strict: true } },
    });
    assert.ok(["yes", "no"].includes(JSON.parse(said.choices[0].message.content).answer));
  },

  async completions() {
    const said = await client.completions.create({
      model: "tiny", prompt: "hello", max_tokens: 8,
    });
    assert.ok(said.choices[0].text.length > 0);
    assert.ok(said.usage.completion_tokens <= 8);
  },

  async embeddings() {
    // Without an encoding_format the client asks for base64 and decodes it.
    const model = "all-MiniLM-L6-v2";
    const input = ["a cat", "a kitten", "a tax return"];
    const { data, usage } = await client.embeddings.create({ model, input });
    const [cat, kitten, tax] = data.map((one) => one.embedding);
    const dot = (one, other) => one.reduce((sum, number, place) => sum + number * other[place], 0);
    assert.equal(cat.length, 384);
    assert.ok(Math.abs(dot(cat, cat) - 1) < 1e-3);
    assert.ok(dot(cat, kitten) > dot(cat, tax) + 0.2);
    assert.ok(usage.total_tokens > 0);
    const plain = await client.embeddings.create({ model, input, encoding_format: "float" });
    assert.ok(dot(plain.data[0].embedding, cat) > 0.999);
  },

  async responses() {
    const said = await client.responses.create({ model: "recites", input: hello[0].content });
    assert.equal(said.output_text.trim(), RECITED);
    assert.equal(said.status, "completed");
    assert.equal(said.goni.sources[0].document, "note.txt");
    const kinds = [];
    const stream = client.responses.stream({ model: "recites", input: "hello" });
    stream.on("event", (event) => kinds.push(event.type));
    const { output } = await stream.finalResponse();
    assert.equal(output[0].content[0].text.trim(), RECITED);
    assert.equal(kinds[0], "response.created");
    assert.equal(kinds.at(-1), "response.completed");
  },

  async errors() {
    const { BadRequestError, NotFoundError, AuthenticationError } = OpenAI;
    const asks = (what) => client.chat.completions.create(what);
    const unknown = await refused(NotFoundError, asks({ model: "gpt-99", messages: hello }));
    assert.equal(unknown.code, "model_not_found");
    assert.equal(unknown.type, "invalid_request_error");
    assert.match(unknown.requestID ?? unknown.request_id, /^req-/);
    await refused(NotFoundError, client.models.retrieve("gpt-99"));
    const bad = await refused(BadRequestError, asks({ model: "recites", messages: "hello" }));
    assert.equal(bad.status, 400);
    assert.equal(bad.code, "bad_type");
    const long = [{ role: "user", content: "word ".repeat(100000) }];
    const much = await refused(BadRequestError, asks({ model: "recites", messages: long }));
    assert.equal(much.code, "context_length_exceeded");
    const stranger = new OpenAI({ baseURL: `${GONI_URL}/v1`, apiKey: "goni-wrong", maxRetries: 0 });
    const closed = await refused(AuthenticationError, stranger.models.list());
    assert.equal(closed.status, 401);
  },
};

const [name] = process.argv.slice(2);
if (name === undefined) console.log(Object.keys(cases).join("\n"));
else await cases[name]();
