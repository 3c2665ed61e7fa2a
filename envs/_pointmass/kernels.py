"""The moves of pointmass as one loop over rows, for `curriculum.compiled`."""

from curriculum.compiled import kernel


@kernel()
def is_clear(row, column, axis, free):
    """Whether a place may be entered along `axis`."""
    height, width = free.shape  # one more than cells
    there = column if axis else row
    last = width - 1 if axis else height - 1
    if not 0 <= there <= last:
        return False
    index = int(row) * width + int(column)
    index = min(max(index, 0), height * width - 1)
    return free[index // width, index % width]


@kernel("f8[:, :]", "f8[:, :]", "i8", "b1[:, ::1]", "f8[:, ::1]")
def slide(state, push, moves, free, place):
    """`Pointmass._slide`: write to `place` [N, 2] where the rows of `state` are after
    `moves` moves by `push` [2, N]."""
    for n in range(len(state)):
        row = state[n, 0]
        column = state[n, 1]
        for _ in range(moves):
            if is_clear(row + push[0, n], column, 0, free):
                row += push[0, n]
            if is_clear(row, column + push[1, n], 1, free):
                column += push[1, n]
        place[n, 0] = row
        place[n, 1] = column
