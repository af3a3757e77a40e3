"""Names for sessions that were given none: two words, easy to say over the phone."""

from __future__ import annotations

import os

ADJECTIVES = (
    "able amber apt bold brave brief bright brisk calm civil clean clear clever cool cosy crisp curious deft eager early "
    "easy even exact fair fancy fast fine firm fleet fond frank free fresh gentle glad golden good grand great green happy "
    "hardy hasty honest humble jolly keen kind large late lean light lively lucky merry mild modest narrow neat new nimble "
    "noble open patient plain polite proud pure quick quiet ready red rich royal rustic sage serene sharp shy silver simple "
    "sleek smart smooth snug sober solid spare stable steady still stout strong sunny sure swift tall tame tidy tiny true "
    "trusty upbeat vivid warm wide wild wise witty young zesty"
).split()
NOUNS = (
    "alder ant aspen badger bat bay bear beaver bee birch bison brook camel canyon cedar clam cliff cloud colt comet coral "
    "crab crane creek crow dale dawn deer delta dove duck dune eagle elk elm ember falcon fawn fern field finch fir fjord "
    "flint fox frog gale gecko glade goose grove gull hare harbor hawk hazel hedge heron hill horse ibis iris island ivy jay "
    "kelp kite koala lake lark leaf lemur lily lion lizard llama lynx maple marsh meadow mink mole moon moose moss moth "
    "mouse newt oak ocean opal orca otter owl ox panda peak pebble pike pine plover pond poplar puma quail rabbit raven reed "
    "ridge river robin rook rose salmon seal shore shrew sloth snail sparrow spruce squid stag star stone stork storm summit "
    "swan tern thrush tiger toad trout tulip valley vole walrus wasp wave whale willow wolf wren yak zebra"
).split()


def random_name(*, shared: bool) -> str:
    """Like ``brave-otter``; on a ``shared`` server, which carries others' sessions too, four characters more."""
    name = f"{_choice(ADJECTIVES)}-{_choice(NOUNS)}"
    return f"{name}-{os.urandom(2).hex()}" if shared else name


def _choice(words: list[str]) -> str:
    return words[int.from_bytes(os.urandom(4), "big") % len(words)]
