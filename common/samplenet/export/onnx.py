"""Build an ONNX model of standard operations from a sampler's layers, without a framework."""

import numpy as np
import onnx
from onnx import inliner, numpy_helper, parser

from samplenet.export.network import Network

OPSET = 18

# Planes are (B, 3, *), one for each coordinate, so that squared distances are summed in the fixed
# order of samplenet.ops. The first half matches each query to its nearest point and moves points
# that were matched before (`again`) to the end; the loop replaces these by farthest points. It runs
# as often as the cloud with the most repeated points needs: the others' last steps write nothing.
MODEL = """
<ir_version: 8, opset_import: ["": {opset}, "samplenet": 1], producer_name: "samplenet">
sampler (float[B, N, 3] cloud)
 => (float[B, {m}, 3] points, int64[B, {m}] idx, float[B, {m}, 3] queries)
<int64[1] first = {{1}}, int64[1] second = {{2}},
 int64 size = {{{m}}}, int64[1] sizes = {{{m}}}, int64[3] shape = {{0, {m}, 3}}, bool yes = {{1}},
 float[1] picked = {{-1}}>
{{
  planes = Transpose <perm = [0, 2, 1]> (cloud)
{layers}
  queries = Reshape (q, shape)

  query_planes = Transpose <perm = [0, 2, 1]> (queries)
  dist2 = samplenet.dist2 (query_planes, planes)
  near = ArgMin <axis = 2, keepdims = 0> (dist2)

  near_column = Unsqueeze (near, second)
  near_row = Unsqueeze (near, first)
  same = Equal (near_column, near_row)
  again = And (same, earlier)
  again_number = Cast <to = 7> (again)
  repeat = ReduceMax <keepdims = 0> (again_number, second)
  behind = Mul (repeat, size)
  place = Add (behind, position)
  sorted, order = TopK <axis = 1, largest = 0> (place, sizes)
  kept = GatherElements <axis = 1> (near, order)
  repeats = ReduceSum <keepdims = 1> (repeat, first)
  count = Sub (size, repeats)
  steps = ReduceMax <keepdims = 0> (repeats)

  matched = GatherND <batch_dims = 1> (cloud, near_column)
  matched_planes = Transpose <perm = [0, 2, 1]> (matched)
  from_matched = samplenet.dist2 (matched_planes, planes)
  from_nearest = ReduceMin <keepdims = 1> (from_matched, first)
  taken = Shape (near_row)
  minus = Expand (picked, taken)
  left = ScatterElements <axis = 2> (from_nearest, near_row, minus)
  idx, rest = Loop (steps, yes, kept, left) <body = step (
    int64 i, bool on, int64[B, {m}] picks, float[B, 1, N] far) =>
    (bool go, int64[B, {m}] next_picks, float[B, 1, N] next_far)
  {{
    pick_column, next_far = samplenet.farthest (planes, far)
    at = Add (count, i)
    here = Equal (position, at)
    next_picks = Where (here, pick_column, picks)
    go = Identity (on)
  }}>
  idx_column = Unsqueeze (idx, second)
  points = GatherND <batch_dims = 1> (cloud, idx_column)
}}
"""

# Farthest point sampling alone: all points are infinitely far at first, so point 0 is picked first.
FARTHEST = """
<ir_version: 8, opset_import: ["": {opset}, "samplenet": 1], producer_name: "samplenet">
farthest_points (float[B, N, 3] cloud, int64 m)
 => (float[B, M, 3] points, int64[B, M] idx)
<int64[1] second = {{2}}, bool yes = {{1}}>
{{
  planes = Transpose <perm = [0, 2, 1]> (cloud)
  x_plane, y_plane, z_plane = Split <axis = 1, num_outputs = 3> (planes)
  everywhere = Shape (x_plane)
  start = ConstantOfShape <value = float[1] {{inf}}> (everywhere)
  left, picks = Loop (m, yes, start) <body = step (int64 i, bool on, float[B, 1, N] far) =>
    (bool go, float[B, 1, N] next_far, int64[B, 1] pick)
  {{
    pick, next_far = samplenet.farthest (planes, far)
    go = Identity (on)
  }}>
  by_cloud = Transpose <perm = [1, 0, 2]> (picks)
  idx = Squeeze (by_cloud, second)
  idx_column = Unsqueeze (idx, second)
  points = GatherND <batch_dims = 1> (cloud, idx_column)
}}
"""

# squared distances of all pairs, and one turn of farthest point sampling: the farthest point, and
# how far the others then are from the picked ones (-1: picked)
FUNCTIONS = """
<domain: "samplenet", opset_import: ["": {opset}]>
dist2 (a, b) => (sum)
{{
  axis_a = Constant <value_ints = [3]> ()
  axis_b = Constant <value_ints = [2]> ()
  axis_sum = Constant <value_ints = [1]> ()
  a4 = Unsqueeze (a, axis_a)
  b4 = Unsqueeze (b, axis_b)
  delta = Sub (a4, b4)
  square = Mul (delta, delta)
  x, y, z = Split <axis = 1, num_outputs = 3> (square)
  xy = Add (x, y)
  xyz = Add (xy, z)
  sum = Squeeze (xyz, axis_sum)
}}
<domain: "samplenet", opset_import: ["": {opset}]>
farthest (planes, far) => (pick_column, next_far)
{{
  last = Constant <value_ints = [2]> ()
  spatial = Constant <value_ints = [1, 3, 1]> ()
  picked = Constant <value_floats = [-1.0]> ()
  pick = ArgMax <axis = 2> (far)
  pick_planes = Expand (pick, spatial)
  pick_point = GatherElements <axis = 2> (planes, pick_planes)
  delta = Sub (planes, pick_point)
  square = Mul (delta, delta)
  x, y, z = Split <axis = 1, num_outputs = 3> (square)
  xy = Add (x, y)
  xyz = Add (xy, z)
  nearer = Min (far, xyz)
  pick_shape = Shape (pick)
  pick_minus = Expand (picked, pick_shape)
  next_far = ScatterElements <axis = 2> (nearer, pick, pick_minus)
  pick_column = Squeeze (pick, last)
}}
"""


def build(network: Network) -> onnx.ModelProto:
    """Build the model: cloud (B, N, 3) float32 -> points, queries (B, m, 3), idx (B, m) int64."""
    m = network.m
    arrays = {"position": np.arange(m), "earlier": np.tri(m, k=-1, dtype=bool)}
    lines, last = [], "planes"
    for i, layer in enumerate(network.convs, 1):
        arrays |= {f"conv{i}_weight": layer.weight[..., None], f"conv{i}_bias": layer.bias}
        lines.append(f"c{i} = Conv <kernel_shape = [1]> ({last}, conv{i}_weight, conv{i}_bias)")
        lines.append(f"a{i} = Relu (c{i})")
        last = f"a{i}"
    lines.append(f"f0 = ReduceMax <keepdims = 0> ({last}, second)")
    last = "f0"
    for i, layer in enumerate(network.fcs, 1):
        arrays |= {f"fc{i}_weight": layer.weight, f"fc{i}_bias": layer.bias}
        out = "q" if i == len(network.fcs) else f"g{i}"
        lines.append(f"{out} = Gemm <transB = 1> ({last}, fc{i}_weight, fc{i}_bias)")
        if out != "q":
            lines.append(f"f{i} = Relu (g{i})")
        last = f"f{i}"
    return _model(MODEL, arrays, m=m, layers="\n".join(f"  {line}" for line in lines))


def farthest_points() -> onnx.ModelProto:
    """Build farthest point sampling: cloud (B, N, 3) float32, m -> points (B, m, 3), idx (B, m)."""
    return _model(FARTHEST, {})


def _model(text: str, arrays: dict[str, np.ndarray], **parts) -> onnx.ModelProto:
    """Fill a text with its parts and arrays, and check the model."""
    model = parser.parse_model((text + FUNCTIONS).format(opset=OPSET, **parts))
    model.graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in arrays.items())
    model = inliner.inline_local_functions(model)
    onnx.checker.check_model(model, full_check=True)
    return model
