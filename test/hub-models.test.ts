/** Models by Hub name, through the library and the commands: what is fetched of them, and what is not. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { ggufValue, writeGguf } from "../scripts/gguf-writer.js";
import { load, planLoad } from "../src/index.js";
import { run } from "./cli/captured-io.js";
import { ggufPath, modelFolders } from "./fixture-models.js";
import { type HubServer, startHubServer } from "./hub-server.js";
import { randomModelFiles } from "./random-model.js";

const COMMIT = "c".repeat(40);
const repo = (files: Record<string, string | Uint8Array>) => ({
  refs: { main: COMMIT },
  commits: { [COMMIT]: files },
});
/** Never to be fetched. */
const UNFETCHED = "weights that were not asked for";
const XL = {
  model_type: "gpt2",
  n_layer: 48,
  n_head: 25,
  n_embd: 1600,
  n_positions: 1024,
  vocab_size: 50257,
};

let server: HubServer;
let home: string;
beforeAll(async () => {
  const file = (name: string) => readFile(join(modelFolders.stories, name), "utf8");
  const gguf = (name: Parameters<typeof ggufPath>[0]) => readFile(ggufPath(name));
  home = await mkdtemp(join(tmpdir(), "lastrow-hub-"));
  server = await startHubServer({
    "org/xl": repo({ "config.json": JSON.stringify(XL), "model.safetensors": UNFETCHED }),
    "org/mamba": repo({ "config.json": '{"model_type": "mamba"}', "model.safetensors": UNFETCHED }),
    "org/small": repo(randomModelFiles({ layers: 1 })),
    "org/small-GGUF": repo({ "m-Q8_0.gguf": await readFile(ggufPath("llama-q8_0")) }),
    "org/planned-GGUF": repo({ "m-Q4_0.gguf": await readFile(ggufPath("llama-q4_0")) }),
    "org/words-GGUF": repo({
      "m-Q8_0.gguf": await readFile(ggufPath("llama-q8_0")),
      "m-Q4_0.gguf": await readFile(ggufPath("llama-q4_0")),
    }),
    "org/mamba-GGUF": repo({
      "m-Q8_0.gguf": writeGguf({
        metadata: { "general.architecture": ggufValue.text("mamba") },
        tensors: [],
      }),
    }),
    "org/gguf": repo({
      "README.md": "",
      "m-F16.gguf": await gguf("qwen3-f16"),
      "m-Q8_0.gguf": await gguf("llama-q8_0"),
      "sub/mmproj-F16.gguf": UNFETCHED,
    }),
    "org/cut": repo({ "m-Q8_0.gguf": (await gguf("llama-q8_0")).subarray(0, 100_000) }),
    "org/words": repo({
      "config.json": await file("config.json"),
      "tokenizer.json": await file("tokenizer.json"),
      "tokenizer_config.json": await file("tokenizer_config.json"),
      "model.safetensors": UNFETCHED,
    }),
  });
  vi.stubEnv("HF_HOME", home);
  vi.stubEnv("HF_ENDPOINT", server.endpoint);
});
afterEach(() => {
  server.requests.length = 0;
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await server.close();
  await rm(home, { recursive: true });
});

const askedForWeights = () => server.requests.some(({ path }) => path === "model.safetensors");
/** What was asked for of GGUF files, ranges and whole files. */
const ggufRequests = () =>
  server.requests.flatMap(({ server, path, headers }) =>
    server === "cdn" && path?.endsWith(".gguf") ? [[path, headers.range ?? "whole"]] : [],
  );

describe("what cannot run is refused before its weights are downloaded", () => {
  test.each([
    [
      "org/xl",
      { dtype: "f32" },
      "memory_limit_exceeded",
      /^org\/xl needs 6\.23 GB for weights, 315 MB for keys and values of 512 tokens/,
    ],
    [
      "org/xl",
      { dtype: "int8", kvMemory: "3GiB" },
      "memory_limit_exceeded",
      /, 3\.2\d GB for keys and values/,
    ],
    ["org/mamba", {}, "model_unsupported", /a state that is not K and V/],
    ["org/small", { kvMemory: 10 }, "invalid_argument", /one KV block of this model takes/],
  ] as const)("%s with %o", async (name, options, code, message) => {
    await expect(load(name, options)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
    expect(server.requests.length).toBeGreaterThan(0);
    expect(askedForWeights()).toBe(false);
  });

  test.each([
    [
      "org/mamba-GGUF",
      {},
      "model_unsupported",
      /architecture is "mamba"; its layers keep a state that is not K and V/,
    ],
    ["org/small-GGUF", { kvMemory: 10 }, "invalid_argument", /one KV block of this model takes/],
    ["org/small-GGUF", { contextLength: 129 }, "invalid_argument", /this model was made for 128 at most/],
  ] as const)("%s with %o, from its header", async (name, options, code, message) => {
    await expect(load(name, options)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
    const ofModel = server.requests.filter(({ path }) => path === "m-Q8_0.gguf");
    expect(ofModel.length).toBeGreaterThan(0);
    for (const { headers } of ofModel) expect(headers.range).toMatch(/^bytes=0-/);
  });

  test("a plan downloads no weights: what they take at least, or, of a GGUF file, what they take", async () => {
    expect(await planLoad("org/xl", { dtype: "int8", contextLength: 64 })).toMatchObject({
      ...{ label: "org/xl", parameters: null, contextLength: 64, contextBound: "asked" },
      config: { numLayers: 48, maxContextLength: 1024 },
      weightBytes: expect.closeTo(1.69e9, -8),
    });
    expect(askedForWeights()).toBe(false);
    const plan = await planLoad("org/planned-GGUF");
    expect(server.requests.some(({ path, headers }) => path === "m-Q4_0.gguf" && !headers.range)).toBe(false);
    await using model = await load("org/planned-GGUF");
    const { parameters, weightBytes, memoryBytes } = model.info;
    expect(plan).toMatchObject({ parameters, weightBytes, memoryBytes });
  });

  test("and what can run is downloaded", async () => {
    await using file = await load("org/small-GGUF");
    expect(file.info).toMatchObject({ label: "org/small-GGUF:Q8_0", dtype: "q8_0" });
    expect(
      server.requests.filter(({ path }) => path === "m-Q8_0.gguf").at(-1)?.headers.range,
    ).toBeUndefined();
    await file.dispose();
    await using lm = await load("org/small");
    expect(lm.info.label).toBe("org/small");
    expect((await lm.logits([1, 2, 3])).logits.every(Number.isFinite)).toBe(true);
    expect(askedForWeights()).toBe(true);
  });
});

describe("a GGUF file", () => {
  test("is chosen, told, downloaded once, and read where it lies", async () => {
    await using lm = await load("org/gguf");
    expect(lm.info).toMatchObject({
      label: "org/gguf:Q8_0",
      dtype: "q8_0",
      files: [{ name: "m-Q8_0.gguf" }],
    });
    expect(lm.info.notices).toContainEqual(
      "m-Q8_0.gguf (112 kB) was taken of 2 GGUF models; for another add its type or its name, such as org/gguf:F16.",
    );
    // The header ahead, then the file.
    expect(ggufRequests()).toEqual([
      ["m-Q8_0.gguf", "bytes=0-112031"],
      ["m-Q8_0.gguf", "whole"],
    ]);
    server.requests.length = 0;
    await using again = await load("org/gguf");
    expect(again.info.label).toBe("org/gguf:Q8_0");
    expect(server.requests).toEqual([]);
    await using file = await load(ggufPath("llama-q8_0"));
    expect((await lm.logits([1, 2, 3])).logits).toEqual((await file.logits([1, 2, 3])).logits);
  });

  test("that cannot be read or cannot fit is refused by its header", async () => {
    await expect(load("org/cut")).rejects.toMatchObject({
      code: "model_file_invalid",
      message: expect.stringMatching(/^m-Q8_0\.gguf/),
    });
    await expect(load("org/gguf:f16", { kvMemory: 10 })).rejects.toMatchObject({ code: "invalid_argument" });
    expect(ggufRequests().map(([, range]) => range)).not.toContain("whole");
  });

  test("is tokenized with by its header alone", async () => {
    const { stdout, exitCode } = await run(["tokenize", "the", "--ids", "--model", "org/gguf:F16"]);
    expect(stdout).toMatch(/^\d+(,\d+)*\n$/);
    expect(exitCode).toBe(0);
    expect(ggufRequests()).toEqual([["m-F16.gguf", "bytes=0-129759"]]);
  });

  test("is one of several that are told", async () => {
    const { stderr, exitCode } = await run(["inspect", "--model", "org/gguf:Q4_K_M"]);
    expect(exitCode).not.toBe(0);
    expect(stderr).toMatch(
      /org\/gguf has GGUF files, but none of "Q4_K_M": m-F16\.gguf \(130 kB\), m-Q8_0\.gguf \(112 kB\)/,
    );
  });
});

test("a path that is no file, and no file of the Hub's either", async () => {
  await expect(load("models/tiny/none.gguf")).rejects.toMatchObject({
    code: "hub_not_found",
    message: expect.stringMatching(
      /^There is no file models\/tiny\/none\.gguf here, and http:.* has no model models\/tiny\.$/,
    ),
  });
});

test("tokenize reads a GGUF file's header, and says which file it is", async () => {
  const args = ["--ids", "--no-special", "--model", "org/words-GGUF"];
  const { stdout, stderr, exitCode } = await run(["tokenize", "the in", ...args]);
  expect([stdout, exitCode]).toEqual([expect.stringMatching(/^\d+(,\d+)+\n$/), 0]);
  expect(stderr).toContain("m-Q4_0.gguf (72.1 kB) was taken of 2");
  const ofModel = server.requests.filter(({ path }) => path?.endsWith(".gguf"));
  expect(ofModel.length).toBeGreaterThan(0);
  for (const { path, headers } of ofModel) {
    expect([path, headers.range]).toEqual(["m-Q4_0.gguf", expect.stringMatching(/^bytes=0-/)]);
  }
});

test("tokenize fetches the tokenizer, and no weights", async () => {
  const { stdout, exitCode } = await run(["tokenize", "Once upon a time", "--ids", "--model", "org/words"]);
  expect([stdout, exitCode]).toEqual(["0,420,428,259,394\n", 0]);
  expect(server.requests.length).toBeGreaterThan(0);
  expect(askedForWeights()).toBe(false);
});
