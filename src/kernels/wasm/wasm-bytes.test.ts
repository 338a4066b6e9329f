import { expect, test } from "vitest";
import { bodiesOf, numberBytes, WasmReader, withBodies } from "./wasm-bytes.js";

/** A module of two functions without a body's instructions, and a custom section behind them. */
const MODULE = Uint8Array.of(
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...[1, 4, 1, 0x60, 0, 0],
  ...[3, 3, 2, 0, 0],
  ...[10, 7, 2, 2, 0, 0x0b, 2, 0, 0x0b],
  ...[0, 2, 1, 0x61],
);

test("numbers are read as they are written", () => {
  for (const number of [0, 1, 127, 128, 300, 16_383, 16_384, 165_511, 2 ** 31 - 1]) {
    expect(new WasmReader(Uint8Array.from(numberBytes(number))).number()).toBe(number);
  }
});

test("a module with the bodies that it has is the same, and with others one that runs", async () => {
  expect(withBodies(MODULE, (bodies) => bodies)).toEqual(MODULE);
  // So many instructions that do nothing that the lengths take more bytes.
  const long = [0, ...new Array<number>(200).fill(1), 0x0b];
  const changed = withBodies(MODULE, ([first]) => [first, long]);
  expect(changed.length).toBe(MODULE.length + 200 + 2);
  expect(WebAssembly.validate(changed)).toBe(true);
  const code = changed.subarray(MODULE.length - 4 - 7 + 1, changed.length - 4);
  expect(bodiesOf(code).map(({ length }) => length)).toEqual([2, 202]);
});
