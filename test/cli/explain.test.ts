/** `lastrow explain`, from arguments to output: its counters, its figures, its errors. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { modelFolders } from "../fixture-models.js";
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
    for (const file of await readdir(docs)) {
      expect(await readFile(join(folder, file), "utf8"), file).toBe(await readFile(join(docs, file), "utf8"));
    }
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
