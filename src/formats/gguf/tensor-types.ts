/** ggml's numbers for types of tensors, as GGUF files have them: which of them are read, and what the others are called. */
import type { StoredDtype } from "../../kernels/weight-types.js";

/** The number of each type that is read. */
export const GGML_NUMBERS: Readonly<Record<StoredDtype, number>> = {
  ...{ F32: 0, F16: 1, Q4_0: 2, Q4_1: 3, Q5_0: 6, Q5_1: 7, Q8_0: 8 },
  ...{ Q3_K: 11, Q4_K: 12, Q5_K: 13, Q6_K: 14, IQ4_NL: 20, IQ4_XS: 23, BF16: 30 },
};

const READ = new Map(Object.entries(GGML_NUMBERS).map(([name, number]) => [number, name as StoredDtype]));

/** Types that are not read. */
const OTHERS: ReadonlyMap<number, string> = new Map([
  [9, "Q8_1"],
  [10, "Q2_K"],
  [15, "Q8_K"],
  [16, "IQ2_XXS"],
  [17, "IQ2_XS"],
  [18, "IQ3_XXS"],
  [19, "IQ1_S"],
  [21, "IQ3_S"],
  [22, "IQ2_S"],
  [24, "I8"],
  [25, "I16"],
  [26, "I32"],
  [27, "I64"],
  [28, "F64"],
  [29, "IQ1_M"],
  [34, "TQ1_0"],
  [35, "TQ2_0"],
  [39, "MXFP4"],
  [40, "NVFP4"],
  [41, "Q1_0"],
]);

/** Numbers whose types were removed from ggml: two early ones, and those that were repacked for one kind of processor. */
const REMOVED: ReadonlySet<number> = new Set([4, 5, 31, 32, 33, 36, 37, 38]);

/** The type that a number stands for; null: it is not read. */
export function storedTypeOf(number: number): StoredDtype | null {
  return READ.get(number) ?? null;
}

/** What messages call a type that is not read. */
export function unreadTypeName(number: number): string {
  const name = OTHERS.get(number);
  if (name !== undefined) return `type ${name}`;
  return `type ${number}, which ${REMOVED.has(number) ? "was removed from the format" : "is not known"}`;
}
