/**
 * The angles of a pass: for each rotation and each row the cosines and sines by which its queries and keys turn. Made once
 * a pass, for all layers. Owns what the tables hold.
 */
import type { Kernels, Tensor } from "../kernels/kernels.js";
import { fillAngles } from "../numerics/rotary-angles.js";
import type { AngleTables } from "./decoder-scratch.js";
import type { RotationSpec } from "./decoder-spec.js";
import type { ForwardBatch } from "./forward-batch.js";

export class PassAngles {
  readonly #tables: readonly {
    readonly rotation: RotationSpec;
    /** By row, (d) each. */
    readonly all: readonly Float32Array[];
    readonly wanted: readonly Float32Array[];
  }[];

  /** @param places one for each rotation */
  constructor(kernels: Kernels, rotations: readonly RotationSpec[], places: readonly AngleTables[]) {
    this.#tables = rotations.map((rotation, i) => ({
      rotation,
      all: rowsAt(kernels, places[i].all),
      wanted: rowsAt(kernels, places[i].wanted),
    }));
  }

  /**
   * Fills the tables for the rows of a batch.
   * @param gathers whether the wanted rows are gathered: else the table of all rows serves
   */
  fill({ positions, numRows, wantedRows, numWanted }: ForwardBatch, gathers: boolean): void {
    for (const { rotation, all, wanted } of this.#tables) {
      for (let t = 0; t < numRows; t++) fillAngles(all[t], positions.at(t), rotation);
      if (!gathers) continue;
      for (let n = 0; n < numWanted; n++) wanted[n].set(all[wantedRows.at(n)]);
    }
  }
}

function rowsAt(kernels: Kernels, { offset, rows, cols }: Tensor): Float32Array[] {
  const values = kernels.f32(offset, rows * cols);
  return Array.from({ length: rows }, (_, r) => values.subarray(r * cols, (r + 1) * cols));
}
