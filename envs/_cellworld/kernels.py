"""The sub-steps of BotEvade as loops over rows, for `curriculum.compiled`.

This repeats `pursuit`, `collisions`, `encounter` and `sight` operation by operation, so
that results are equal to the last bit. The one function whose last bit depends on the
processor in numpy is arctan2: between two sub-steps, numpy computes it for all rows.

A row is a state [29] in the order of `COLUMNS`. Kernels check what they look up in
tables; who gets `FAILED` computes with numpy instead, which says what is wrong.
"""

import math

import numpy as np

from curriculum.compiled import kernel, named
from curriculum.envs._cellworld.collisions import CLEARANCE
from curriculum.envs._cellworld.columns import COLUMN, LAST_SEEN, NO_CELL
from curriculum.envs._cellworld.lattice import (
    ARENA_APOTHEM,
    ARENA_NORMALS,
    CELLS,
    OCCLUDER_APOTHEM,
    OCCLUDER_NORMALS,
    OCCLUDER_RADIUS,
)
from curriculum.envs._cellworld.pixels import CELL_PIXELS, MARGIN, PIXELS, SIDE
from curriculum.envs._cellworld.rules import (
    BODIES,
    BRAKING_DISTANCE,
    GOAL_POSITION,
    GOAL_RADIUS,
    HALF_SPEED_ERROR,
    PREDATOR_BODY,
    PUFF_COOLDOWN,
    PUFF_RADIUS,
    REACH,
    SECONDS,
    SIGHT_RADIUS,
    TOLERANCE,
    WAIT,
)
from curriculum.envs._cellworld.sight import BOXES, HALF_ROOT_3
from curriculum.envs._cellworld.stepping import Arena, Work

FAILED = -1

# columns of the predator; those of the prey follow by one each
X = COLUMN["predator_x"]
Y = COLUMN["predator_y"]
HEADING = COLUMN["predator_heading"]
SPEED = COLUMN["predator_speed"]
TURN_RATE = COLUMN["predator_turn_rate"]
WAYPOINT = COLUMN["predator_waypoint"]
DESTINATION = COLUMN["predator_destination"]
PENDING = COLUMN["predator_pending"]
DESTINATION_WAIT = COLUMN["predator_destination_wait"]
PLAN_WAIT = COLUMN["predator_plan_wait"]
PREY_X = COLUMN["prey_x"]
PREY_Y = COLUMN["prey_y"]
LAST_SEEN_X = COLUMN["last_seen_x"]
LAST_SEEN_Y = COLUMN["last_seen_y"]
DISTANCE = COLUMN["distance"]
VISIBLE = COLUMN["visible"]
COOLDOWN = COLUMN["cooldown"]
PUFFED = COLUMN["puffed"]
PUFFS = COLUMN["puffs"]
FINISHED = COLUMN["finished"]
TIME = COLUMN["time"]

RADIANS = math.pi / 180
DEGREES = 180 / math.pi
# constants of kernels are contiguous, or numba would not keep the code
WALLS = np.ascontiguousarray(ARENA_NORMALS)
SIDES = np.ascontiguousarray(OCCLUDER_NORMALS)
LIMITS = (ARENA_APOTHEM - REACH).ravel()  # [2] apothems that keep bodies inside
GOAL_X, GOAL_Y = GOAL_POSITION.tolist()
FARTHEST = MARGIN / PIXELS  # beyond the unit square, within the grid of pixels


@kernel()
def hexagon_distance(across, along):
    """`lattice.hexagon_distance` of one point."""
    across = abs(across)
    along = abs(along)
    return max(across, 0.5 * across + HALF_ROOT_3 * along)


@kernel()
def outside(x, y, limit):
    """Whether a point is outside an arena with the apothem `limit`."""
    return hexagon_distance(y - 0.5, x - 0.5) > limit


@kernel()
def pixel_of(x, y):
    """The pixel of a point within the grid."""
    return int(y * PIXELS + MARGIN) * SIDE + int(x * PIXELS + MARGIN)


@kernel()
def has_pixel(x, y):
    """Whether a point is within the grid; false for NaN."""
    in_columns = -FARTHEST <= x < 1 + FARTHEST
    return in_columns and -FARTHEST <= y < 1 + FARTHEST


@kernel()
def in_square(x, y):
    """Whether a point is in the unit square; false for NaN."""
    return 0 <= x < 1 and 0 <= y < 1


@kernel()
def in_occluder(x, y, arena):
    """`Sliding._in_occluder` of one point."""
    pixel = pixel_of(x, y)
    for place in range(arena.touching.shape[1]):
        occluder = arena.touching[pixel, place]
        dx = x - arena.occluders[0, occluder]
        dy = y - arena.occluders[1, occluder]
        if hexagon_distance(dx, dy) < OCCLUDER_APOTHEM:
            return True
    return False


@kernel()
def pushed_inside(x, y, limit):
    """A point less what `collisions._beyond_walls` says."""
    offset_x = x - 0.5
    offset_y = y - 0.5
    beyond_x = 0.0
    beyond_y = 0.0
    for wall in range(3):
        normal_x = WALLS[wall, 0]
        normal_y = WALLS[wall, 1]
        component = normal_x * offset_x + normal_y * offset_y
        excess = math.copysign(max(abs(component) - limit, 0.0), component)
        beyond_x += normal_x * excess
        beyond_y += normal_y * excess
    return x - beyond_x, y - beyond_y


@kernel()
def pushed_out(x, y, occluders):
    """A point inside an occluder moved through its nearest side, see
    `Sliding._depth`."""
    nearest = 0
    least = math.inf
    for occluder in range(occluders.shape[1] - 1):
        dx = x - occluders[0, occluder]
        dy = y - occluders[1, occluder]
        squared = dx * dx + dy * dy
        if squared < least:
            least = squared
            nearest = occluder
    dx = x - occluders[0, nearest]
    dy = y - occluders[1, nearest]
    side = 0
    component = 0.0
    for normal in range(3):
        along = SIDES[normal, 0] * dx + SIDES[normal, 1] * dy
        if abs(along) > abs(component):
            side = normal
            component = along
    distance = OCCLUDER_APOTHEM - abs(component) + CLEARANCE
    sign = 0.0 if component == 0 else math.copysign(1.0, component)
    out_x = x + distance * (SIDES[side, 0] * sign)
    out_y = y + distance * (SIDES[side, 1] * sign)
    return out_x, out_y


@kernel()
def slid(before_x, before_y, x, y, limit, arena):
    """`Sliding.slide` of one agent."""
    if outside(x, y, limit):
        x, y = pushed_inside(x, y, limit)
    if not in_occluder(x, y, arena):
        return x, y
    x, y = pushed_out(x, y, arena.occluders)
    if in_occluder(x, y, arena) or outside(x, y, limit):
        return before_x, before_y
    return x, y


@kernel()
def body_inside(x, y, heading, agent):
    """`collisions._body_inside` of one agent."""
    angle = heading * RADIANS
    cos = math.cos(angle)
    sin = math.sin(angle)
    for corner in range(BODIES.shape[1]):
        ahead = BODIES[agent, corner, 0]
        left = BODIES[agent, corner, 1]
        corner_x = x + cos * ahead - sin * left - 0.5
        corner_y = y + sin * ahead + cos * left - 0.5
        for wall in range(3):
            along = WALLS[wall, 0] * corner_x + WALLS[wall, 1] * corner_y
            if not abs(along) <= ARENA_APOTHEM:
                return False
    return True


@kernel()
def stopped(state, n, agent, x, y, turned):
    """`collisions.stop_at_walls` of one agent: its position and heading."""
    if body_inside(x, y, turned, agent):
        return x, y, turned
    before_x = state[n, X + agent]
    before_y = state[n, Y + agent]
    heading = state[n, HEADING + agent]
    if body_inside(before_x, before_y, turned, agent):
        return before_x, before_y, turned
    angle = heading * RADIANS
    distance = state[n, SPEED + agent] * SECONDS
    straight_x = before_x + distance * math.cos(angle)
    straight_y = before_y + distance * math.sin(angle)
    if body_inside(straight_x, straight_y, heading, agent):
        return straight_x, straight_y, heading
    return before_x, before_y, heading


@kernel()
def move(state, n, agent, arena):
    """`Pursuit.move` of one agent. False where its position is in no table."""
    turned = state[n, HEADING + agent] + state[n, TURN_RATE + agent] * SECONDS
    angle = turned * RADIANS
    distance = state[n, SPEED + agent] * SECONDS
    x = state[n, X + agent] + distance * math.cos(angle)
    y = state[n, Y + agent] + distance * math.sin(angle)
    if not has_pixel(x, y):
        return False
    if arena.near[pixel_of(x, y)]:
        if arena.solid:
            limit = LIMITS[agent]
            before_x = state[n, X + agent]
            before_y = state[n, Y + agent]
            x, y = slid(before_x, before_y, x, y, limit, arena)
        else:
            x, y, turned = stopped(state, n, agent, x, y, turned)
    state[n, X + agent] = x
    state[n, Y + agent] = y
    state[n, HEADING + agent] = turned
    return in_square(x, y)


@kernel()
def locate(x, y, arena):
    """`Pursuit.locate` of one point in the unit square."""
    if not arena.exact:
        return arena.of_pixel[int(CELL_PIXELS * x), int(CELL_PIXELS * y)]
    pixel = pixel_of(x, y)
    cell = FAILED
    least = math.inf
    for place in range(arena.nearest.shape[1]):
        candidate = arena.nearest[pixel, place]
        dx = arena.xy[0, candidate] - x
        dy = arena.xy[1, candidate] - y
        squared = dx * dx + dy * dy
        if squared < least:
            least = squared
            cell = candidate
    return cell


@kernel()
def first_waypoint(source, target, arena):
    """The first waypoint from cell to cell; `FAILED - 1` where one is no cell."""
    if 0 <= source < CELLS and 0 <= target < CELLS:
        return int(arena.waypoint[source * CELLS + target])
    return FAILED - 1


@kernel()
def plan(state, n, agent, arena):
    """`Pursuit._plan` of one agent. False where something is in no table."""
    accepts = (
        state[n, PENDING + agent] != NO_CELL and state[n, DESTINATION_WAIT + agent] == 0
    )
    has_destination = state[n, DESTINATION + agent] != NO_CELL
    if not accepts and not (has_destination and state[n, PLAN_WAIT + agent] == 0):
        return True
    if accepts:
        destination = state[n, PENDING + agent]
        if destination == LAST_SEEN:
            x = state[n, LAST_SEEN_X]
            y = state[n, LAST_SEEN_Y]
            if not in_square(x, y):
                return False
            destination = float(locate(x, y, arena))
        state[n, DESTINATION + agent] = destination
        state[n, PENDING + agent] = NO_CELL
        state[n, DESTINATION_WAIT + agent] = WAIT
        state[n, PLAN_WAIT + agent] = WAIT
    here = locate(state[n, X + agent], state[n, Y + agent], arena)
    following = first_waypoint(here, int(state[n, DESTINATION + agent]), arena)
    state[n, WAYPOINT + agent] = following
    return following >= NO_CELL


@kernel()
def wait(state, n, agent):
    """Count a sub-step of waiting for the next destination and the next plan."""
    for column in (DESTINATION_WAIT + agent, PLAN_WAIT + agent):
        state[n, column] = max(state[n, column] - 1, 0.0)


@kernel()
def follow(state, n, agent, offset, arena):
    """`Pursuit._drop_waypoints` of one agent, and the offset of its waypoint. False
    where something is in no table."""
    cell = int(state[n, WAYPOINT + agent])
    if not NO_CELL <= cell < CELLS:
        return False
    dx = arena.xy[0, cell] - state[n, X + agent]
    dy = arena.xy[1, cell] - state[n, Y + agent]
    if cell != NO_CELL and dx * dx + dy * dy < TOLERANCE**2:
        destination = int(state[n, DESTINATION + agent])
        following = first_waypoint(cell, destination, arena)
        if following < NO_CELL:
            return False
        if cell == destination:
            following = NO_CELL
        state[n, WAYPOINT + agent] = following
        dx = arena.xy[0, following] - state[n, X + agent]
        dy = arena.xy[1, following] - state[n, Y + agent]
    offset[0, agent, n] = dx
    offset[1, agent, n] = dy
    return True


@kernel()
def steer(state, n, agent, work, arena):
    """`Pursuit._steer` of one agent towards its waypoint."""
    dx = work.offset[0, agent, n]
    dy = work.offset[1, agent, n]
    moving = 0.0 if state[n, WAYPOINT + agent] == NO_CELL else 1.0
    error = work.angle[agent, n] * DEGREES - state[n, HEADING + agent]
    error -= 360 * np.rint(error / 360)
    share = error / HALF_SPEED_ERROR
    speed = moving * arena.top_speed[agent] / (share * share + 1)
    if not arena.capped:
        speed *= max(math.hypot(dx, dy) / BRAKING_DISTANCE, 1.0)
    state[n, SPEED + agent] = speed
    state[n, TURN_RATE + agent] = moving * arena.gain[agent] * error


@kernel()
def blocks(x, y, start_x, start_y):
    """`sight._crosses` of one line (x, y) and one occluder."""
    half = 0.5 * x
    high = HALF_ROOT_3 * y
    half_start = 0.5 * start_x
    high_start = HALF_ROOT_3 * start_y
    extent = OCCLUDER_RADIUS * max(abs(x), abs(half + high), abs(high - half))
    if not abs(x * start_y - y * start_x) < extent:
        return False
    if apart(x, start_x):
        return False
    if apart(half + high, half_start + high_start):
        return False
    return not apart(high - half, high_start - half_start)


@kernel()
def apart(along, begin):
    """Whether a line is apart from an occluder along one normal."""
    depth = abs(begin)
    if not depth >= OCCLUDER_APOTHEM:
        return False
    sign = math.copysign(1.0, begin)  # not 0: depth is positive
    return along * sign + depth >= OCCLUDER_APOTHEM


@kernel()
def sees_body(eye_x, eye_y, x, y, heading, arena):
    """`sight.sees_body` of the predator by one prey, both in the unit square."""
    eye_box = int(eye_y * BOXES) * BOXES + int(eye_x * BOXES)
    body_box = int(y * BOXES) * BOXES + int(x * BOXES)
    pair = eye_box * BOXES**2 + body_box
    angle = heading * RADIANS
    cos = math.cos(angle)
    sin = math.sin(angle)
    for corner in range(PREDATOR_BODY.shape[0]):
        ahead = PREDATOR_BODY[corner, 0]
        left = PREDATOR_BODY[corner, 1]
        line_x = ahead * cos - left * sin + (x - eye_x)
        line_y = ahead * sin + left * cos + (y - eye_y)
        is_clear = True
        for place in range(arena.sight_start[pair], arena.sight_start[pair + 1]):
            occluder = arena.sight_listed[place]
            start_x = eye_x - arena.occluders[0, occluder]
            start_y = eye_y - arena.occluders[1, occluder]
            if blocks(line_x, line_y, start_x, start_y):
                is_clear = False
                break
        if is_clear:
            return True
    return False


@kernel()
def look(state, n, arena):
    """`Encounter.look` of one row."""
    x = state[n, X]
    y = state[n, Y]
    eye_x = state[n, PREY_X]
    eye_y = state[n, PREY_Y]
    distance = math.hypot(x - eye_x, y - eye_y)
    state[n, DISTANCE] = distance
    state[n, VISIBLE] = distance <= SIGHT_RADIUS and sees_body(
        eye_x, eye_y, x, y, state[n, HEADING], arena
    )


@kernel()
def meet(state, n, draw, arena):
    """`Encounter.update` of one row after a sub-step."""
    if state[n, COOLDOWN] <= 0:
        look(state, n, arena)
        is_sighted = state[n, VISIBLE] > 0
        if is_sighted:
            if state[n, DISTANCE] <= PUFF_RADIUS:
                state[n, PUFFED] = 1
                state[n, PUFFS] += 1
                state[n, COOLDOWN] = PUFF_COOLDOWN
            state[n, LAST_SEEN_X] = state[n, PREY_X]
            state[n, LAST_SEEN_Y] = state[n, PREY_Y]
            state[n, PENDING] = LAST_SEEN
        if state[n, WAYPOINT] == NO_CELL and not (arena.pursues and is_sighted):
            state[n, PENDING] = arena.opened[int(draw * len(arena.opened))]
    state[n, COOLDOWN] = max(state[n, COOLDOWN] - SECONDS, 0.0)
    to_goal = math.hypot(state[n, PREY_X] - GOAL_X, state[n, PREY_Y] - GOAL_Y)
    state[n, FINISHED] = to_goal <= GOAL_RADIUS


STATE = "f8[:, ::1]"
WORK = named(
    Work, live="b1[::1]", offset="f8[:, :, ::1]", angle="f8[:, ::1]", until="f8[::1]"
)
ARENA = named(
    Arena,
    top_speed="f8[::1]",
    gain="f8[::1]",
    capped="b1",
    solid="b1",
    exact="b1",
    pursues="b1",
    end_on_puff="b1",
    by_clock="b1",
    xy="f8[:, ::1]",
    waypoint="i2[::1]",
    opened="i8[::1]",
    near="b1[::1]",
    occluders="f8[:, ::1]",
    touching="i2[:, ::1]",
    nearest="i2[:, ::1]",
    of_pixel="i2[:, ::1]",
    sight_start="i4[::1]",
    sight_listed="i2[::1]",
)


@kernel(STATE, "f8[:]", WORK, ARENA)
def substep(state, draw, work, arena):
    """Take one sub-step in all rows whose episodes go on; returns how many these are,
    or `FAILED`. Before it, the agents of the last sub-step are steered."""
    count = 0
    for n in range(len(state)):
        if work.live[n]:
            for agent in range(2):
                steer(state, n, agent, work, arena)
        is_over = state[n, FINISHED] > 0 or (arena.end_on_puff and state[n, PUFFED] > 0)
        work.live[n] = not is_over and state[n, TIME] < work.until[n]
        if not work.live[n]:
            continue
        count += 1
        for agent in range(2):
            if not move(state, n, agent, arena):
                return FAILED
        for agent in range(2):
            if not plan(state, n, agent, arena):
                return FAILED
            wait(state, n, agent)
            if not follow(state, n, agent, work.offset, arena):
                return FAILED
        state[n, TIME] += SECONDS
        meet(state, n, draw[n], arena)
    return count


@kernel(STATE, "b1[::1]", WORK, ARENA)
def finish(state, looking, work, arena):
    """Steer the agents of the last sub-step; prey that are `looking` [N] look again.
    Returns 0, or `FAILED`."""
    for n in range(len(state)):
        if work.live[n]:
            for agent in range(2):
                steer(state, n, agent, work, arena)
        if looking[n]:
            for agent in range(2):
                if not in_square(state[n, X + agent], state[n, Y + agent]):
                    return FAILED
            look(state, n, arena)
    return 0
