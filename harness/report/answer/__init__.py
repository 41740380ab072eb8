"""The first screen of a suite: what its numbers answer, in words, a matrix and a picture.

whole makes it of its parts. Replies: ahead (which optimizer), price (in which framework, at what
cost), alike (is it fair), amount (how much was run). matrix: optimizers x tasks. picture: the same
drawn. headline: the answer in a line. words: names and numbers in sentences."""

from .whole import answer as answer
