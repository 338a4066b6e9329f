// Rows of the embedding, read out of its quantised weight: column by column, since it lies there transposed. Every value has
// the bits that a file's block stands for: (scale ⊗ step) ⊗ integer, exact, then the minimum.

import { GROUP } from "./blocks";
import { widen1 } from "./half";
import {
  COLUMNS, groupAt, groupHeader, groupsOf, isNibbles, scalesOf, STEPS, STEPS_OF_16, superOf, WITH_MINIMUM, zeroOf,
} from "./quantised-panels";
import { FORM_F16 } from "./generated/constants";

/** out[t] = column tokenIds[t] of a packed (width, V) weight, for t = from … to − 1. Strides in bytes. */
export function embedQuantised(
  out: usize, outStride: usize, tokenIds: usize, weight: usize, panelBytes: usize, width: i32, vocabSize: i32, form: i32,
  from: i32, to: i32,
): void {
  const groups = groupsOf(width);
  for (let t = from; t < to; t++) {
    const id = load<i32>(tokenIds + (<usize>t << 2));
    const panel = weight + <usize>(id / COLUMNS) * panelBytes;
    for (let g = 0; g < groups; g++) {
      group(out + <usize>t * outStride + <usize>g * 4 * GROUP, panel, id % COLUMNS, g, min(GROUP, width - g * GROUP), form);
    }
  }
}

function group(out: usize, panel: usize, column: i32, g: i32, count: i32, form: i32): void {
  const scales = scalesOf(form), nibbles = isNibbles(form), zero = zeroOf(form);
  const at = groupAt(scales, nibbles, panel, g), head = superOf(scales, nibbles, panel, g);
  const half = <usize>(2 * column), elements = at + groupHeader(scales) + <usize>(4 * column);
  let scale = widen1((scales == STEPS || scales == STEPS_OF_16 ? head : at) + half, FORM_F16);
  let offset: f32 = 0;
  if (scales == WITH_MINIMUM) offset = widen1(at + 32 + half, FORM_F16);
  if (scales == STEPS) {
    const both = <i32>load<u16>(at + half);
    scale *= <f32>(both & 0xff);
    offset = -(widen1(head + 32 + half, FORM_F16) * <f32>(both >> 8));
  }
  const hasOffset = scales == WITH_MINIMUM || scales == STEPS;
  let factor = scale, y = out;
  for (let i = 0; i < count; i++) {
    let element: i32;
    if (nibbles) {
      element = (<i32>load<u8>(elements + <usize>(64 * (i >> 3) + (i & 3))) >> (i & 4)) & 15;
      if ((i & 5) == 5) element ^= 8;
    } else {
      element = load<u8>(elements + <usize>(64 * (i >> 2) + (i & 3)));
      if (scales == STEPS_OF_16) factor = scale * <f32>load<i8>(at + <usize>(16 * (i >> 4) + column));
    }
    const value = factor * <f32>(element - zero);
    f32.store(y, hasOffset ? value + offset : value);
    y += 4;
  }
}
