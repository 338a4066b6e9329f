import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { kernelBinaries } from "./kernel-modules.js";
import { KERNEL_PARTS } from "./packed-types.js";
import { RELAXED_KERNELS } from "./relaxed-binary.js";

test("the module offers a team's three functions and the place of its choices, and no operation beside its commands", async () => {
  const { module: binary } = await kernelBinaries(false, null, []);
  const module = await WebAssembly.compile(binary);
  const names = WebAssembly.Module.exports(module).flatMap(({ kind, name }) =>
    kind === "function" ? [name] : [],
  );
  // Tiles and their like are exported to keep them from being inlined: assembly/tiles.ts and others.
  const tiles =
    /^((tile|narrow|deep)[1-5](Bf16|F16)?|single|triple|sextuple|quadruple(Bf16|F16)|(row|firstRow)(Bf16|F16)|row(Bytes|Nibbles)(Minimum|Steps|Steps16)?|widened[23](Offsets)?|int8[A-Z][a-z]+[1-5]?)$/;
  const called = names.filter((name) => !tiles.test(name));
  expect(called.sort()).toEqual(["choicesAddress", "help", "run", "wait"]);
});

// JavaScript, which has no vectors, could not call it.
test("no exported function takes or gives a vector", async () => {
  for (const binary of Object.values(await kernelBinaries(false, RELAXED_KERNELS, KERNEL_PARTS))) {
    const { types, functions, exported } = signatures(Buffer.from(binary));
    expect(exported.size).toBeGreaterThan(10);
    const withVectors = [...exported].filter(([, index]) => types[functions[index]].includes(VECTOR));
    expect(withVectors.map(([name]) => name)).toEqual([]);
  }
});

const VECTOR = 0x7b;
const [TYPES, IMPORTS, FUNCTIONS, EXPORTS] = [1, 2, 3, 7];

/** Of a module: what its types take and give, each function's type, imported ones first, and exported functions by name. */
function signatures(bytes: Buffer) {
  let at = 8;
  const number = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  const list = <T>(read: () => T): T[] => Array.from({ length: number() }, read);
  const text = () => {
    const length = number();
    at += length;
    return bytes.toString("utf8", at - length, at);
  };
  let types: number[][] = [];
  const functions: number[] = [];
  const exported = new Map<string, number>();
  while (at < bytes.length) {
    const section = bytes[at++];
    const next = number() + at;
    if (section === TYPES) {
      types = list(() => {
        at++;
        return [...list(number), ...list(number)];
      });
    } else if (section === IMPORTS) {
      list(() => {
        text();
        text();
        if (bytes[at++] === 0) {
          functions.push(number());
        } else {
          const hasMost = bytes[at++] & 1;
          number();
          if (hasMost) number();
        }
      });
    } else if (section === FUNCTIONS) {
      functions.push(...list(number));
    } else if (section === EXPORTS) {
      list(() => {
        const name = text();
        const isFunction = bytes[at++] === 0;
        const index = number();
        if (isFunction) exported.set(name, index);
      });
    }
    at = next;
  }
  return { types, functions, exported };
}

test("types of weights and of K and V are rows of tables: no source compares with one by name", async () => {
  const src = fileURLToPath(new URL("../../", import.meta.url));
  const sources = (await readdir(src, { recursive: true })).filter(
    // GGUF's metadata have types of the same names.
    (name) => /(?<!\.test)\.ts$/.test(name) && !name.startsWith("formats/gguf/"),
  );
  expect(sources.length).toBeGreaterThan(100);
  const comparing = await Promise.all(
    sources.map(async (name) => {
      const text = await readFile(`${src}${name}`, "utf8");
      return /[=!]==? "(f32|int8)"|case "(f32|int8)"/.test(text) ? [name] : [];
    }),
  );
  expect(comparing.flat()).toEqual([]);
});
