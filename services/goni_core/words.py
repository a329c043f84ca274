"""256 short words, one for each byte: what two screens show so that people can compare them."""

from __future__ import annotations

_LIST = """
acid acorn actor album alley amber anchor angle ankle apple apron arch arena arrow artist
atlas attic aunt autumn badge bagel baker bamboo banana barn basil basin beach bean bear
beetle bell belt bench berry bird biscuit blanket boat bone book boot bottle bowl box branch
brass bread brick bridge broom brush bucket bunny butter button cabin cable cactus cake camel
camera candle canoe canyon captain carpet carrot castle cedar cellar chain chair chalk cheese
cherry chimney circus clay clock cloud clover coat cobra coffee comet compass copper coral
corn cotton cousin cow crab cradle crane crayon crow crown cup curtain daisy dancer deer
desert desk diamond dinner doctor dolphin donkey door dragon drum duck eagle ear earth echo
eel egg elbow elephant elm engine falcon farmer feather fence fern fiddle finger fish flag
flute fog forest fork fox frog garden garlic gate ghost giant ginger giraffe glass globe
glove goat gold goose grape grass guitar hammer harbor harp hat hawk hazel hedge helmet
hen hill honey horn horse house ice ink iron island ivory ivy jacket jaguar jar jelly jewel
jungle kettle key king kite kitten knee knife ladder lake lamp lark lava leaf lemon lens
lentil lily lion lizard llama lobster lock magnet mango maple marble market mask meadow melon
metal milk mill mint mirror mole moon moss moth mountain mouse museum nail needle nest
nickel night noodle nurse oak oasis ocean olive onion orange orchid otter oven owl oyster
paint palm panda paper parrot peach pear pearl pencil pepper piano pigeon pillow pine
"""
WORDS = tuple(_LIST.split())
