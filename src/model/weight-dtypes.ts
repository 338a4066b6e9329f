/**
 * Which type each matrix of products has in memory: as asked for by name, or, with `auto`, by the types that the tensors
 * which fill it are stored in. Never by their values.
 */
import {
  CONVERTED_DTYPES,
  type ConvertedDtype,
  isStoredFloat,
  type PackedDtype,
  STORED_AS,
  type StoredDtype,
  WEIGHT_TYPES,
} from "../kernels/weight-types.js";
import type { TensorRow, WeightName } from "./decoder-spec.js";
import { outputsTaken } from "./stored-rows.js";

/** What a program asks for. */
export type AskedDtype = "auto" | ConvertedDtype;

export const ASKED_DTYPES: readonly AskedDtype[] = ["auto", ...CONVERTED_DTYPES];

/** What is known of a stored tensor before it is read. */
export interface StoredTensor {
  readonly entry: { readonly dtype: StoredDtype; readonly shape: readonly number[] };
  readonly rows: readonly TensorRow[];
}

/** Outputs of a matrix that have one type in memory: `count` of them from output `at` on. */
interface TypedStretch {
  readonly at: number;
  readonly count: number;
  readonly dtype: PackedDtype;
}

/** The types of a matrix with so many outputs: stretches in their order, with no outputs between them. */
export type DtypesOf = (name: WeightName, outFeatures: number) => readonly TypedStretch[];

/** Every matrix whole, in one type. */
export function allOf(dtype: PackedDtype): DtypesOf {
  return (_, outFeatures) => [{ at: 0, count: outFeatures, dtype }];
}

/** A part of a matrix, as it is stored. */
interface StoredStretch {
  readonly at: number;
  readonly count: number;
  readonly stored: StoredDtype;
}

/**
 * The types of each matrix. `auto`: what is stored in quantised types stays in them, stretch by stretch. A matrix of floats
 * has the type that all its parts are stored in; f32 where they differ, and where all matrices together are so small that
 * f32 is faster (`WEIGHT_TYPES`): the bits are the same.
 * @param tensors null: not known yet; `auto` is then what floats take least in
 */
export function chooseDtypes(asked: AskedDtype, tensors: readonly StoredTensor[] | null): DtypesOf {
  if (asked !== "auto") return allOf(asked);
  if (tensors === null) return allOf("bf16");
  const matrices = tensors.filter(({ rows }) => rows.some(({ order }) => order !== undefined));
  const values = matrices.reduce((sum, { entry }) => sum + entry.shape.reduce((n, size) => n * size, 1), 0);
  const parts = new Map<WeightName, StoredStretch[]>();
  for (const { entry, rows } of matrices) {
    for (const row of rows) {
      const known = parts.get(row.to) ?? [];
      parts.set(row.to, known);
      known.push({ at: row.at ?? 0, count: outputsTaken(row).count, stored: entry.dtype });
    }
  }
  const keeping = (stored: StoredDtype) => {
    const dtype = STORED_AS[stored];
    return 4 * values < WEIGHT_TYPES[dtype].fasterFromBytes ? "f32" : dtype;
  };
  return (name, outFeatures) => {
    const stretches = (parts.get(name) ?? []).toSorted((a, b) => a.at - b.at);
    if (stretches.every(({ stored }) => isStoredFloat(stored))) {
      const types = new Set(stretches.map(({ stored }) => keeping(stored)));
      const [dtype] = types.size === 1 ? types : (["f32"] as const);
      return [{ at: 0, count: outFeatures, dtype }];
    }
    return joined(stretches.map(({ at, count, stored }) => ({ at, count, dtype: keeping(stored) })));
  };
}

/** Neighbours of one type together. */
function joined(stretches: readonly TypedStretch[]): TypedStretch[] {
  const all: TypedStretch[] = [];
  for (const next of stretches) {
    const last = all.at(-1);
    if (last?.dtype !== next.dtype) all.push(next);
    else all[all.length - 1] = { ...last, count: last.count + next.count };
  }
  return all;
}
