import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { kernelsBinary } from "./kernels-binary.js";

test("the module offers a team's three functions and the place of its choices, and no operation beside its commands", async () => {
  for (const binary of Object.values(kernelsBinary)) {
    const module = await WebAssembly.compile(Buffer.from(binary, "base64"));
    const names = WebAssembly.Module.exports(module).flatMap(({ kind, name }) =>
      kind === "function" ? [name] : [],
    );
    // Tiles and their like are exported to keep them from being inlined: assembly/tiles.ts and others.
    const tiles =
      /^((tile|narrow|deep)[1-5](Bf16|F16)?|single|triple|quadruple(Bf16|F16)?|(row|firstRow)(Bf16|F16)|row(Bytes|Nibbles)(Minimum|Steps|Steps16)?|widened[23](Offsets)?|int8[A-Z][a-z]+[1-5]?)$/;
    const called = names.filter((name) => !tiles.test(name));
    expect(called.sort()).toEqual(["choicesAddress", "help", "run", "wait"]);
  }
});

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
