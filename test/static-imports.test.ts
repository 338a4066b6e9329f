/** What a page loads before it generates anything: all that is imported from the library's entry on, but for `import()`. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const src = new URL("../src/", import.meta.url);

/** The files that a file leads to, itself among them, by their paths in src/. */
async function reachedFrom(entry: string): Promise<ReadonlySet<string>> {
  const reached = new Set([entry]);
  for (const file of reached) {
    const text = await readFile(new URL(file, src), "utf8");
    // Imports and exports of values; those of types are gone from what is loaded.
    for (const [, path] of text.matchAll(/^(?:import|export) (?!type )[^;]*?from "(\.[^"]+)\.js";/gms)) {
      const address = new URL(`${path}.ts`, new URL(file, src));
      reached.add(fileURLToPath(address).slice(fileURLToPath(src).length));
    }
  }
  return reached;
}

test("a page that only generates loads nothing else with its first script, nor what reads a tokenizer's or a GGUF file", async () => {
  const reached = [...(await reachedFrom("index.ts"))];
  expect(reached.length).toBeGreaterThan(50);
  const later = [
    // Grammars, templates and chats.
    /^grammar\/(json-schema\/(schema-(keywords|grammar|alternatives)|strings|number-dfa)|regex|make-dfa|gbnf|grammar)\b/,
    /^chat\/(jinja\/|chat-renderer)|^library\/(conversation|chat-tools)\b/,
    // Files.
    /^(architectures|formats)\/gguf\/|^(chat|library|tokenizer)\/[a-z-]*gguf/,
    /^tokenizer\/(load-tokenizer|tokenizer|piece-model|library|text-steps|vocabulary)\.ts/,
    // The engine, and what is used there alone.
    /^engine\/|^kernels\/(wasm\/(?!operations)|reference\/reference-kernels)|^model\/(load-weights|weight-parts)\b/,
    /^sampling\/(?!(options|philox|beam-settings|logprobs|argmax)\b)/,
    // What else a model does.
    /^saved-sequence\/|^client\/(comparison|sequence-storage)\b/,
    /^library\/(embed|rank|tier-connection|begin-sequence|restore-sequence|chat-options|answer-parts)\b/,
    /^client\/(sequence|grammar-compiler)\.ts|^platform\/(limited-tasks|fair-queue|digests-here)\b/,
    // How a format is read, and a family's config.
    /^architectures\/(?!architecture\.ts)|^library\/describe-(folder|gguf)\b|^formats\/(json-faults|strict-json|safetensors|checkpoint|embedding-settings)\b/,
    /^tools\//,
  ];
  expect(reached.filter((file) => later.some((pattern) => pattern.test(file)))).toEqual([]);
});

test("an engine's worker loads no kernels in TypeScript, none that are relaxed or of another type than f32, and nothing that chooses or checks, before they are asked for; nor beams, grammars, readouts and a KV tier", async () => {
  const reached = [...(await reachedFrom("engine/engine-worker.ts"))];
  expect(reached).toContain("kernels/wasm/wasm-kernels.ts");
  expect(
    reached.filter((file) =>
      /^kernels\/(reference\/(?!(reference-backend|column-bytes|stretch-maxima)\b)|wasm\/(relaxed-binary|parts\/|choose-instructions|self-check|expected-digests))|^engine\/(beam-job|grammar-store|readout-job|tier-(link|loads|offers)|engine-tier)\b|^grammar\/|^sampling\/beam-search/.test(
        file,
      ),
    ),
  ).toEqual([]);
});
