"""Completion scripts for shells, from the parser itself, so that no option is forgotten."""

from __future__ import annotations

import argparse

SHELLS = ("bash", "zsh", "fish")
DISKS = "lsblk --nodeps --noheadings --output PATH"


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script that teaches ``shell`` the options of ``parser``; images and disks besides."""
    made = {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]
    return made(parser.prog, [action for action in parser._actions if action.option_strings])


def _bash(name: str, options: list[argparse.Action]) -> str:
    words = " ".join(option.option_strings[-1] for option in options)
    return f"""_{name.replace("-", "_")}() {{
    local word=${{COMP_WORDS[COMP_CWORD]}}
    case $word in
        -*) COMPREPLY=($(compgen -W "{words}" -- "$word")) ;;
        /dev/*) COMPREPLY=($(compgen -W "$({DISKS})" -- "$word")) ;;
        *) COMPREPLY=($(compgen -f -- "$word")) ;;
    esac
}}
complete -o filenames -F _{name.replace("-", "_")} {name}"""


def _zsh(name: str, options: list[argparse.Action]) -> str:
    lines = [
        f"    '{option.option_strings[-1]}[{_plain(option)}]{_value(option)}' \\"
        for option in options
    ]
    return "\n".join(
        [
            f"#compdef {name}",
            "_arguments \\",
            *lines,
            "    '1:image:_files' \\",
            f"    '2:disk:($({DISKS}))'",
        ]
    )


def _value(option: argparse.Action) -> str:
    if option.choices:
        return f":{option.dest}:({' '.join(map(str, option.choices))})"
    if option.nargs == 0:
        return ""
    return f":{option.dest}:" + ("_files" if option.metavar == "FILE" else "")


def _fish(name: str, options: list[argparse.Action]) -> str:
    lines = [f"complete -c {name} -n 'string match -q \"/dev*\" (commandline -ct)' -a '({DISKS})'"]
    for option in options:
        long = option.option_strings[-1].removeprefix("--")
        needs = "" if option.nargs == 0 else " -r"
        values = f" -xa '{' '.join(map(str, option.choices))}'" if option.choices else ""
        lines.append(f"complete -c {name} -l {long}{needs}{values} -d '{_plain(option)}'")
    return "\n".join(lines)


def _plain(option: argparse.Action) -> str:
    return (option.help or "").replace("'", "").replace("[", "(").replace("]", ")")
