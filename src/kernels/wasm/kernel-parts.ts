/**
 * The kernels' module is kept in parts: what every model takes, and bodies of functions that only some do. What a model uses is put
 * together to one module, before it is compiled: the very bytes that the compiler made, where nothing is left out.
 */
import { fetchedCode } from "../../fetched-code.js";
import type { KernelUses } from "../kernels.js";
import { isStoredFloat } from "../weight-types.js";
import { KERNEL_PARTS, type KernelPart, KV_OPERATIONS, PACKED } from "./packed-types.js";
import { WasmReader, withBodies } from "./wasm-bytes.js";

/** What the bodies of functions that were left out are: one that traps. */
export const LEFT_OUT = [0, 0, 0x0b];

const IMPORTS: Readonly<Record<KernelPart, () => Promise<{ readonly PART: string }>>> = {
  half: () => import("./parts/half.js"),
  int8: () => import("./parts/int8.js"),
  blocks: () => import("./parts/blocks.js"),
  quantised: () => import("./parts/quantised.js"),
  int4: () => import("./parts/int4.js"),
  kvF16: () => import("./parts/kvF16.js"),
  kvInt8: () => import("./parts/kvInt8.js"),
};

/** The parts that a model takes, in the order of `KERNEL_PARTS`. */
export function partsOf({ dtypes, kvDtypes, storedDtypes }: KernelUses): KernelPart[] {
  const taken = new Set<KernelPart>([
    ...dtypes.flatMap((dtype) => PACKED[dtype].parts),
    ...kvDtypes.flatMap((dtype) => KV_OPERATIONS[dtype].parts),
    ...(storedDtypes.every(isStoredFloat) ? [] : ["blocks" as const]),
  ]);
  return KERNEL_PARTS.filter((part) => taken.has(part));
}

/**
 * Parts as they are kept, fetched side by side.
 * @throws LastrowError `code_unavailable`
 */
export function fetchParts(parts: readonly KernelPart[]): Promise<string[]> {
  return Promise.all(parts.map(async (part) => (await fetchedCode(IMPORTS[part]())).PART));
}

/** The module of what every model takes, and of these parts: each a list of functions' numbers and bodies. */
export function withParts(common: Uint8Array, parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return withBodies(common, (bodies) => {
    const all = [...bodies];
    for (const part of parts) {
      for (const reader = new WasmReader(part); !reader.ended; ) all[reader.number()] = reader.part();
    }
    return all;
  });
}
