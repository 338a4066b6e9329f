/** Reads as much of a WebAssembly module's binary as the build and its tests need: sections, and the names of functions. */

import { HEADER_BYTES, WasmReader } from "../src/kernels/wasm/wasm-bytes.js";

const [CUSTOM, IMPORTS] = [0, 2];
/** The part of the section `name` that has the functions' names. */
const FUNCTION_NAMES = 1;

interface Section {
  readonly id: number;
  /** What the section holds, behind its number and length. */
  readonly content: Uint8Array;
  /** All of it. */
  readonly whole: Uint8Array;
}

export function sectionsOf(binary: Uint8Array): Section[] {
  const reader = new WasmReader(binary);
  reader.at = HEADER_BYTES;
  const sections: Section[] = [];
  while (!reader.ended) {
    const start = reader.at;
    const id = reader.byte();
    const content = reader.part();
    sections.push({ id, content, whole: binary.subarray(start, reader.at) });
  }
  return sections;
}

/** The module without what does not run: names. */
export function withoutNames(binary: Uint8Array): Buffer {
  const kept = sectionsOf(binary).filter(({ id }) => id !== CUSTOM);
  return Buffer.concat([binary.subarray(0, HEADER_BYTES), ...kept.map(({ whole }) => whole)]);
}

/** How many functions a module imports: they have the first numbers. */
function importedFunctions(binary: Uint8Array): number {
  const section = sectionsOf(binary).find(({ id }) => id === IMPORTS);
  if (section === undefined) return 0;
  const reader = new WasmReader(section.content);
  let functions = 0;
  for (let left = reader.number(); left > 0; left--) {
    reader.part();
    reader.part();
    if (reader.byte() === 0) {
      functions += 1;
      reader.number();
    } else {
      // A memory's limits.
      if ((reader.byte() & 1) !== 0) reader.number();
      reader.number();
    }
  }
  return functions;
}

/** The names of a module's own functions in their order, as `file/function`, if it was compiled with names. */
export function functionNames(binary: Uint8Array): string[] {
  const names: string[] = [];
  const imported = importedFunctions(binary);
  for (const { id, content } of sectionsOf(binary)) {
    if (id !== CUSTOM) continue;
    const section = new WasmReader(content);
    if (text(section) !== "name") continue;
    while (!section.ended) {
      const kind = section.byte();
      const reader = new WasmReader(section.part());
      if (kind !== FUNCTION_NAMES) continue;
      for (let left = reader.number(); left > 0; left--) {
        const index = reader.number() - imported;
        const name = text(reader).replace(/^assembly\//, "");
        if (index >= 0) names[index] = name;
      }
    }
  }
  return names;
}

function text(reader: WasmReader): string {
  return new TextDecoder().decode(reader.part());
}
