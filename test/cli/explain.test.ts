/** `lastrow explain`, from arguments to output: its counters, its figures, its errors. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readModelConfig } from "../../src/architectures/read-config.js";
import { folderFiles } from "../../src/platform/disk-files.js";
import { familyFolder, familyNames, ggufPath, modelFolders } from "../fixture-models.js";
import { run } from "./captured-io.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-explain-"));
});
afterAll(() => rm(folder, { recursive: true }));

const ODD = ["explain", "--model", modelFolders.odd, "--tokens", "1,2,3"];

describe("compare --plot", () => {
  it("draws the rows and the time of every step", async () => {
    const file = join(folder, "plots", "compare.svg");
    const args = ["compare", "--model", modelFolders.odd, "--tokens", "1,2,3", "--ignore-eos"];
    const { exitCode } = await run([...args, "--max-tokens", "6", "--threads", "1", "--plot", file]);
    expect(exitCode).toBe(0);
    const svg = await readFile(file, "utf8");
    // Measured rows lie on the formula's: 3 … 8 recomputed; 3, then 1 cached.
    const paths = (role: string) =>
      [...svg.matchAll(new RegExp(`class="lr-${role}" d="([^"]+)"`, "g"))].map(([, d]) => d);
    expect(paths("formula").slice(0, 2)).toEqual([paths("curveRecompute")[0], paths("curveCached")[0]]);
    expect(paths("curveRecompute")[0].split("L")).toHaveLength(6);
    expect(paths("curveCached")).toHaveLength(2);
  });
});

describe("explain", () => {
  it.each([
    ["wasm", "f32"],
    ["wasm", "int8"],
    ["reference", "f32"],
  ])("counts what the trace and the formula say, on %s kernels with %s weights", async (kernels, dtype) => {
    const options = ["--max-tokens", "6", "--kernels", kernels, "--dtype", dtype, "--threads", "1", "--json"];
    const { exitCode, stdout, stderr } = await run([...ODD, ...options]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    const { recompute, cached, kept, promptTokens, fedTokens } = JSON.parse(stdout);
    expect({ promptTokens, fedTokens, kept }).toEqual({
      ...{ promptTokens: 3, fedTokens: 5 },
      kept: { q: false, k: true, v: true },
    });
    // (M + 1) L + M (M + 1) / 2 and L + M.
    expect(recompute.rows).toEqual({ traced: 33, counted: 33, formula: 33 });
    expect(cached.rows).toEqual({ traced: 8, counted: 8, formula: 8 });
    expect(recompute.multiplyAdds.counted).toBe(recompute.multiplyAdds.traced);
    expect(cached.multiplyAdds.counted).toBe(cached.multiplyAdds.traced);
    expect(cached.multiplyAdds.counted).toBeLessThan(recompute.multiplyAdds.counted / 2);
  });

  it.each(["gemma3", "gpt-neo"] as const)("fits into 80 columns, of %s", async (name) => {
    const args = ["explain", "--model", familyFolder(name), "--tokens", "1,2,3,4,5,6,7,8,9,10,11,12"];
    const options = { isTerminal: true, columns: 80 };
    const { exitCode, stdout } = await run([...args, "--max-tokens", "2", "--threads", "1"], options);
    expect(exitCode).toBe(0);
    const lines = stripVTControlCharacters(stdout).split("\n");
    // The folder's name is as long as it is, but it is a word by itself.
    const long = lines.filter((line) => [...line].length > 80 && line !== familyFolder(name));
    expect(long).toEqual([]);
    expect(stdout).toContain("weightedValues");
  });

  it("says what each stage needs, of the embedded model", async () => {
    const { exitCode, stdout } = await run(["explain", "Once upon a time", "--max-tokens", "4"]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/h\.0…5\.attn\.scores +1 of Q \+ all 8 of K/);
    expect(stdout).toMatch(/h\.0…5\.attn\.weightedValues +1 of softmax \+ all 8 of V/);
    expect(stdout).toMatch(/h\.0…5\.attn\.q +1 of ln_1/);
    expect(stdout).toMatch(/lm_head +1 of ln_f/);
    expect(stdout).toContain("No stage needs an old row of Q.");
    for (const line of stdout.split("\n")) expect(line.length, line).toBeLessThanOrEqual(80);
  });

  const TOKENS = Array.from({ length: 20 }, (_, i) => i + 1).join(",");
  const family = (name: (typeof familyNames)[number], ...more: string[]) =>
    run(["explain", "--model", familyFolder(name), "--tokens", TOKENS, "--max-tokens", "8", ...more]);

  it.each(familyNames)("explains %s: what is counted, stages of all layers together", async (name) => {
    const figures = join(folder, name);
    const { exitCode, stdout } = await family(name, "--json", "--threads", "1", "--svg", figures);
    expect(exitCode).toBe(0);
    expect(await readdir(figures)).toHaveLength(4);
    const { promptTokens, fedTokens, recompute, cached, kept, stages, cacheBytes, ...saved } =
      JSON.parse(stdout);
    // The context of one of them is 24.
    const length = promptTokens + fedTokens;
    expect(cached.rows).toEqual({ traced: length, counted: length, formula: length });
    expect(cached.multiplyAdds.counted).toBe(cached.multiplyAdds.traced);
    expect(recompute.multiplyAdds.counted).toBe(recompute.multiplyAdds.traced);
    expect(kept).toEqual({ q: false, k: true, v: true });
    // Every layer is in its stages once, by names that have no layer in them.
    const { decoder } = await readModelConfig(folderFiles("family", familyFolder(name)));
    const { numHeads, numKvHeads } = decoder.layers[0].attention;
    for (const end of ["scores", "weightedValues", "mlp.residual"]) {
      const layers = stages
        .filter((stage: { name: string }) => stage.name.endsWith(end))
        .flatMap((stage: { layers: number[] }) => stage.layers);
      expect(layers.sort(), end).toEqual(decoder.layers.map((_, i) => i));
    }
    // Only what a window changes is not the same in all layers.
    const names = stages
      .map((stage: { name: string }) => stage.name)
      .filter((stage: string) => !/scores$|weightedValues$/.test(stage));
    expect(new Set(names).size).toBe(names.length);
    for (const { name, needs } of stages) {
      expect(`${name} ${JSON.stringify(needs)}`).not.toMatch(/\.\d+\./);
      if (!name.endsWith("scores")) continue;
      expect(needs).toMatchObject([{ tensor: "Q", which: "row" }, { tensor: "K" }]);
    }
    decoder.layers.forEach(({ attention: { window } }, layer) => {
      const scores = stages.find(
        (stage: { name: string; layers: number[] }) =>
          stage.name.endsWith("scores") && stage.layers.includes(layer),
      );
      const rows = Math.min(length, window ?? length);
      expect(scores.needs[1]).toMatchObject({ rows, of: length, which: rows === length ? "all" : "window" });
    });
    expect(saved.ungroupedCacheBytes?.token ?? cacheBytes.token).toBe(
      (cacheBytes.token * numHeads) / numKvHeads,
    );
    const hasWindows = decoder.layers.some(({ attention: { window } }) => window !== null);
    expect(saved.unwindowedCacheBytes !== undefined).toBe(hasWindows);
  });

  it.each([
    ["llama-q4_k_m", 4],
    ["gemma3-q8_0", 2],
    ["qwen3-q4_0", 2],
  ] as const)("explains %s.gguf, where %i query heads share K and V", async (name, groupSize) => {
    const tokens = ["--tokens", "1,2,3,4,5,6,7,8,9,10", "--max-tokens", "4", "--threads", "1"];
    const { exitCode, stdout } = await run(["explain", "--model", ggufPath(name), ...tokens, "--json"]);
    expect(exitCode).toBe(0);
    const { recompute, cached, ungroupedCacheBytes, cacheBytes } = JSON.parse(stdout);
    expect(cached.rows).toEqual({ traced: 13, counted: 13, formula: 13 });
    expect(recompute.multiplyAdds.counted).toBe(recompute.multiplyAdds.traced);
    expect(ungroupedCacheBytes.token).toBe(groupSize * cacheBytes.token);
  });

  it("says what grouped heads and windows are, and what they save", async () => {
    const { stdout } = await family("gemma3", "--svg", folder);
    const figure = await readFile(join(folder, "inference-cached.svg"), "utf8");
    for (const words of ["q, k, v_proj", "q, k_norm", "gate, up_proj", "a window of 8 rows"]) {
      expect(figure).toContain(`>${words}<`);
    }
    expect(stdout).toContain("4 heads of 16 (1 of K and V)");
    expect(stdout).toContain("gated, RMS norm");
    expect(stdout).toContain("rotary positions, a window of 8 in 3 of 4 layers");
    expect(stdout).toMatch(/layers\.0…1,3\.self_attn\.scores +1 of Q \+ the last 8 of K +512\n/);
    expect(stdout).toMatch(/layers\.2\.self_attn\.scores +1 of Q \+ all 27 of K +1,728\n/);
    expect(stdout).toMatch(/layers\.0…3\.mlp\.act +1 of gate \+ 1 of up/);
    expect(stdout).toMatch(/q_norm\.rotated +1 of q_norm/);
    expect(stdout).toContain(
      "attention the last 8 of K and V in 3 layers, all of them in 1 layer: keep those",
    );
    // 4 layers · (16 keys + 16 values) · 4 bytes, and four times as much. Of a context of 96, 6 blocks: 2 with a window.
    expect(stdout).toContain(
      "4 query heads share 1 head of K and V: 512 bytes a token, not 2,048. It saves 75.0 %.",
    );
    expect(stdout).toMatch(/a full context of 96 +24\.6 kB \(24,576 bytes\) +98\.3 kB +49\.2 kB/);
    expect(stdout).toContain("Of a full context of 96 that saves 50.0 %.");
    const plain = await family("gpt-neox");
    expect(plain.stdout).toContain("attention and MLP side by side");
    expect(plain.stdout).not.toMatch(/query heads share|Windows:|saves/);
  });

  it("writes four figures, the same ones each time", async () => {
    const figures = join(folder, "new", "figures");
    const args = [...ODD, "--max-tokens", "2", "--svg", figures];
    const { exitCode, stdout } = await run(args);
    expect(exitCode).toBe(0);
    const files = (await readdir(figures)).sort();
    expect(files).toEqual([
      ...["attention-cached.svg", "attention-recomputed.svg", "inference-cached.svg"],
      "inference-recomputed.svg",
    ]);
    for (const file of files) expect(stdout).toContain(join(figures, file));
    const first = await readFile(join(figures, files[0]), "utf8");
    expect(first).toMatch(/^<svg [\s\S]*<\/svg>\n$/);
    await run([...args, "--json"]);
    expect(await readFile(join(figures, files[0]), "utf8")).toBe(first);
  });

  it("draws what docs/explain.md shows: npm run docs:figures", async () => {
    const docs = fileURLToPath(new URL("../../docs/figures/", import.meta.url));
    await run(["explain", "Once upon a time", "--max-tokens", "4", "--svg", folder]);
    await family("gemma3", "--layer", "1", "--svg", join(folder, "gemma3"));
    const files = await readdir(docs, { recursive: true });
    for (const file of files.filter((name) => name.endsWith(".svg"))) {
      expect(await readFile(join(folder, file), "utf8"), file).toBe(await readFile(join(docs, file), "utf8"));
    }
  });

  it("prints what docs/explain.md shows of a Gemma 3", async () => {
    const text = await readFile(new URL("../../docs/explain.md", import.meta.url), "utf8");
    const [, shown] = /```text\n([^`]+)```/.exec(text) as RegExpExecArray;
    const { stdout } = await family("gemma3");
    const lines = stdout.split("\n").map((line) => line.trimEnd());
    for (const line of shown.split("\n")) expect(lines).toContain(line);
  });

  it("explains a single row, of which nothing is kept yet", async () => {
    const { exitCode, stdout } = await run([
      ...["explain", "--model", modelFolders.odd, "--tokens", "5", "--max-tokens", "1"],
    ]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain("there is nothing to keep yet");
  });

  it("refuses what it cannot do, in a sentence", async () => {
    const layer = await run([...ODD, "--layer", "3"]);
    expect(layer).toMatchObject({ exitCode: 1, stdout: "" });
    expect(layer.stderr).toContain("layers 0 to 2");
    const file = join(folder, "a-file");
    await writeFile(file, "");
    const blocked = await run([...ODD, "--max-tokens", "1", "--svg", file]);
    expect(blocked).toMatchObject({ exitCode: 1, stdout: "" });
    expect(blocked.stderr).toContain("cannot be written");
  });
});
