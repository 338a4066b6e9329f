// Rows of the embedding, read out of its packed weight: column by column, since it lies there transposed.

import { PANEL_COLUMNS, FORM_BF16, FORM_F16, FORM_F32 } from "./generated/constants";
import { widen1 } from "./half";
import { rowBytes, valueBytes } from "./panels";

/** out[t] = column tokenIds[t] of a packed (width, V) weight, for t = from … to − 1. Strides in bytes. */
export function embed(
  out: usize, outStride: usize, tokenIds: usize, weight: usize, panelBytes: usize, width: i32, vocabSize: i32, form: i32,
  from: i32, to: i32,
): void {
  for (let t = from; t < to; t++) {
    const id = load<i32>(tokenIds + (<usize>t << 2));
    const w = weight + <usize>(id / PANEL_COLUMNS) * panelBytes + <usize>(id % PANEL_COLUMNS) * valueBytes(form);
    const y = out + <usize>t * outStride;
    switch (form) {
      case FORM_BF16: column(y, w, width, FORM_BF16); break;
      case FORM_F16: column(y, w, width, FORM_F16); break;
      default: column(y, w, width, FORM_F32);
    }
  }
}

/** `form` is a constant where this is inlined. */
@inline
function column(out: usize, weight: usize, width: i32, form: i32): void {
  const end = out + (<usize>width << 2);
  let w = weight;
  for (let y = out; y < end; y += 4) {
    f32.store(y, form == FORM_F32 ? f32.load(w) : widen1(w, form));
    w += rowBytes(form);
  }
}
