/** A case of an operation: a function to run, and the useful work of a run. And what files of cases have in common. */
import type { Kernels, Tensor } from "../../src/kernels/kernels.js";

/** Bytes that no cache keeps. */
export const UNCACHED_BYTES = 150e6;

/** What a case is held against: bytes against the rate of reading memory, operations against the rate of their type. */
type Limit = "read" | "f32" | "int8";

export interface KernelCase {
  readonly operation: string;
  readonly shape: string;
  readonly limit: Limit;
  /** Bytes, or operations, of a run; a multiplication and an addition are two operations. */
  readonly work: number;
  /** Fills in what a run reads besides numbers. */
  readonly prepare?: (kernels: Kernels) => void;
  readonly run: (kernels: Kernels) => void;
}

/** What all but products read and write. */
export interface Operands {
  readonly x: Tensor;
  readonly y: Tensor;
}

/** Whether a case is wanted, by what it is called; and whether it is one of those that are measured when none is named. */
export type IsWanted = (name: string, byDefault: boolean) => boolean;

export function rowsOf(count: number): string {
  return count === 1 ? "1 row" : `${count} rows`;
}
