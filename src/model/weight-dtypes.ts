/**
 * Which type each matrix of products has in memory: as asked for by name, or, with `auto`, by the types that the tensors
 * which fill it are stored in. Never by their values.
 */
import {
  CONVERTED_DTYPES,
  type ConvertedDtype,
  type PackedDtype,
  STORED_AS,
  type StoredDtype,
  WEIGHT_TYPES,
} from "../kernels/weight-types.js";
import type { TensorRow, WeightName } from "./decoder-spec.js";

/** What a program asks for. */
export type AskedDtype = "auto" | ConvertedDtype;

export const ASKED_DTYPES: readonly AskedDtype[] = ["auto", ...CONVERTED_DTYPES];

/** What is known of a stored tensor before it is read. */
export interface StoredTensor {
  readonly entry: { readonly dtype: StoredDtype; readonly shape: readonly number[] };
  readonly rows: readonly TensorRow[];
}

/**
 * The type of each matrix. `auto`: the type that all parts of the matrix are stored in; f32 where they differ, and where all
 * matrices together are so small that f32 is faster (`WEIGHT_TYPES`). The bits are the same.
 * @param tensors null: not known yet; `auto` is then what takes least
 */
export function chooseDtypes(
  asked: AskedDtype,
  tensors: readonly StoredTensor[] | null,
): (name: WeightName) => PackedDtype {
  if (asked !== "auto") return () => asked;
  if (tensors === null) return () => "bf16";
  const matrices = tensors.filter(({ rows }) => rows.some(({ order }) => order !== undefined));
  const floats = matrices.reduce((sum, { entry }) => sum + entry.shape.reduce((n, size) => n * size, 1), 0);
  const chosen = new Map<WeightName, PackedDtype>();
  for (const { entry, rows } of matrices) {
    const stored = STORED_AS[entry.dtype];
    const isSmall = 4 * floats < WEIGHT_TYPES[stored].fasterFromBytes;
    for (const { to } of rows) {
      const other = chosen.get(to);
      chosen.set(to, isSmall || (other !== undefined && other !== stored) ? "f32" : stored);
    }
  }
  return (name) => chosen.get(name) ?? "f32";
}
