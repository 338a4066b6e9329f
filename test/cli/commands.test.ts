/** The commands from arguments to output, in this process, on the embedded model and a folder without a tokenizer. */
import { copyFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ggufValue, writeGguf } from "../../scripts/gguf-writer.js";
import { makeRandomModel } from "../../scripts/make-random-model.js";
import { planRandomModel } from "../../scripts/random-model.js";
import type { GgufValue } from "../../src/formats/gguf/gguf-metadata.js";
import { load } from "../../src/library/load.js";
import { familyTokenizer, tokenizerJson } from "../family-tokenizers.js";
import { type FamilyName, familyFolder, goldenCases, modelFolders } from "../fixture-models.js";
import { ggufVocabulary } from "../gguf-vocabulary.js";
import { run } from "./captured-io.js";

const ESCAPE = "\u001b";
const GGUF = fileURLToPath(new URL("../fixtures/gguf/qwen3-f16.gguf", import.meta.url));
const TINY = ["--model", modelFolders.tiny];

describe("a context that memory shortens", () => {
  let parent: string;
  beforeAll(async () => {
    parent = await mkdtemp(join(tmpdir(), "lastrow-context-"));
  });
  afterAll(() => rm(parent, { recursive: true }));

  it("is told of on standard error, unless it was asked for", async () => {
    const folder = join(parent, "model");
    await makeRandomModel(
      folder,
      planRandomModel({ layers: 1, heads: 1, embd: 4, vocab: 20, context: 2048 }),
    );
    // 32 bytes a position: 1,000 positions.
    const args = ["--tokens", "1,2", "--model", folder, "--kv-memory", "32000"];
    expect(await run(["logits", ...args])).toMatchObject({
      exitCode: 0,
      stderr:
        "context: 512 of 2,048 tokens, as far as --kv-memory allows; 31.7 kB for keys and values (--context, --kv-memory)\n",
    });
    expect((await run(["logits", ...args, "--context", "2048"])).stderr).toBe("");
    const inspected = await run(["inspect", ...args.slice(2)]);
    expect(inspected.stderr).toBe("");
    expect(inspected.stdout).toContain("512 of 2,048 tokens, as far as --kv-memory allows\n");
  });
});

describe("generate", () => {
  it("holds the answer to a JSON Schema or a grammar in a file, or to a pattern", async () => {
    const folder = await mkdtemp(join(tmpdir(), "lastrow-schema-"));
    try {
      const names = ["a.json", "b.json", "c.json", "d.gbnf"];
      const [file, broken, wrong, grammar] = names.map((name) => join(folder, name));
      await writeFile(file, '{"type": "integer", "minimum": 10, "maximum": 99}');
      await writeFile(broken, "{");
      await writeFile(wrong, '{"type": "strin"}');
      await writeFile(grammar, 'root ::= " " word\nword ::= "yes" | "no"');
      const ask = (...args: string[]) => run(["generate", "Once", "--seed", "1", ...args]);
      const held = await ask("--schema", file);
      expect(held).toMatchObject({ exitCode: 0, stderr: "" });
      expect(held.stdout).toMatch(/^[1-9][0-9]\n$/);
      expect((await ask("--regex", " (yes|no)")).stdout).toMatch(/^ (yes|no)\n$/);
      expect((await ask("--grammar", grammar)).stdout).toMatch(/^ (yes|no)\n$/);
      for (const [args, sentence] of [
        [["--grammar", file], "line 1, column 1"],
        [["--grammar", join(folder, "none.gbnf")], "--grammar: "],
        [["--grammar", grammar, "--schema", file], "--schema and --grammar cannot be combined"],
        [["--schema", broken], "b.json is not JSON"],
        [["--schema", join(folder, "none.json")], "none.json cannot be read"],
        [["--schema", wrong], "#/type must be one of"],
        [["--schema", file, "--regex", "a"], "cannot be combined"],
        [["--schema", file, "--stop", "a"], "stop cannot be combined with schema"],
      ] as const) {
        const refused = await ask(...args);
        expect(refused).toMatchObject({ exitCode: 1, stdout: "" });
        expect(refused.stderr).toContain(sentence);
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("streams the text that --json reports, and a newline", async () => {
    const args = ["generate", "Once upon a time", "--seed", "5", "--max-tokens", "24"];
    const streamed = await run(args);
    const object = await run([...args, "--json"]);
    expect(streamed).toEqual({ exitCode: 0, stdout: `${JSON.parse(object.stdout).text}\n`, stderr: "" });
    expect(object).toMatchObject({ exitCode: 0, stderr: "" });
  });

  it("prints one JSON object, with the keys that are promised", async () => {
    const { stdout } = await run([
      "generate",
      "Once upon a time",
      "--json",
      "--max-tokens",
      "3",
      "--seed",
      "1",
    ]);
    expect(stdout.trimEnd().split("\n")).toHaveLength(1);
    const object = JSON.parse(stdout);
    expect(Object.keys(object)).toEqual([
      ...["model", "mode", "kernels", "text", "promptTokens", "tokens", "finishReason", "numCachedTokens"],
      ...["seed", "inferences", "passes", "proposed", "accepted"],
      ...["rowsComputed", "timings", "kv"],
    ]);
    expect(Object.keys(object.timings)).toEqual(["loadMs", "prefillMs", "decodeMs"]);
    expect(object.kv).toEqual({ bytes: 18874368, blocks: 128, blockSize: 16 });
    expect(object).toMatchObject({
      ...{
        model: "stories",
        mode: "cached",
        kernels: "wasm",
        promptTokens: 5,
        finishReason: "length",
        seed: 1,
      },
      ...{ inferences: 3, passes: 3, proposed: 0, accepted: 0, rowsComputed: 7 },
    });
  });

  it("gives the same tokens in both modes and on both kernels", async () => {
    const args = [
      "generate",
      "--tokens",
      "1,2,3",
      ...TINY,
      "--max-tokens",
      "12",
      "--ignore-eos",
      "--seed",
      "3",
    ];
    const { stdout } = await run(args);
    expect(stdout).toMatch(/^\d+( \d+){11}\n$/);
    expect((await run([...args, "--mode", "recompute"])).stdout).toBe(stdout);
    expect((await run([...args, "--kernels", "reference"])).stdout).toBe(stdout);
    const object = JSON.parse((await run([...args, "--mode", "recompute", "--json"])).stdout);
    expect(object).toMatchObject({ mode: "recompute", text: "", rowsComputed: 12 * 3 + (12 * 11) / 2 });
    expect(object.tokens.join(" ")).toBe(stdout.trimEnd());
  });

  it("takes the prompt from standard input, less one newline", async () => {
    const options = ["--temperature", "0", "--max-tokens", "8", "--json"];
    const expected = JSON.parse((await run(["generate", "Tom had a", ...options])).stdout);
    for (const stdin of ["Tom had a\n", "Tom had a\r\n", "Tom had a"]) {
      const piped = JSON.parse((await run(["generate", ...options], { stdin })).stdout);
      expect(piped.tokens).toEqual(expected.tokens);
      expect(piped.promptTokens).toBe(expected.promptTokens);
    }
    const dash = JSON.parse((await run(["generate", "-", ...options], { stdin: "Tom had a\n" })).stdout);
    expect(dash.tokens).toEqual(expected.tokens);
    const twoNewlines = JSON.parse((await run(["generate", ...options], { stdin: "Tom had a\n\n" })).stdout);
    expect(twoNewlines.promptTokens).toBeGreaterThan(expected.promptTokens);
  });

  it("does not read standard input when a prompt is given", async () => {
    const { stdout } = await run(["generate", "Tom", "--json", "--max-tokens", "1"], {
      stdin: "a long story",
    });
    expect(JSON.parse(stdout).promptTokens).toBe(2);
  });

  it("starts from the start token without any prompt", async () => {
    const { stdout } = await run(["generate", "--json", "--max-tokens", "1"]);
    expect(JSON.parse(stdout).promptTokens).toBe(1);
  });

  it("shows log-probabilities when asked for", async () => {
    const args = ["generate", "Once upon a", "--temperature", "0", "--max-tokens", "2", "--logprobs", "2"];
    const object = JSON.parse((await run([...args, "--json"])).stdout);
    expect(object.logprobs).toHaveLength(2);
    expect(object.logprobs[0]).toEqual({
      token: object.tokens[0],
      logprob: expect.any(Number),
      top: [
        { token: object.tokens[0], logprob: object.logprobs[0].logprob },
        { token: expect.any(Number), logprob: expect.any(Number) },
      ],
    });
    const { stdout } = await run(args);
    expect(stdout.startsWith(`${object.text}\n\n`)).toBe(true);
    expect(stdout).toContain('" time"');
  });

  it("sums up on a terminal's standard error only, and not with --quiet", async () => {
    const args = ["generate", "Tom", "--max-tokens", "2", "--seed", "9"];
    // What moves on a slow machine does not move in CI.
    const env = { NO_COLOR: "1", CI: "1" };
    expect((await run(args, { isTerminal: true, env })).stderr).toMatch(
      /2 tokens · [\d,]+ tokens\/s · prompt of 2 in .* · length · seed 9\n$/,
    );
    expect((await run([...args, "--quiet"], { isTerminal: true, env })).stderr).toBe("");
    expect((await run([...args, "--json"], { isTerminal: true, env })).stderr).toBe("");
    expect((await run(args)).stderr).toBe("");
  });
});

describe("compare", () => {
  it("prints one JSON object, with the keys that are promised", async () => {
    const { stdout, stderr, exitCode } = await run(["compare", "--json", "--max-tokens", "4"]);
    expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 0 });
    const object = JSON.parse(stdout);
    expect(Object.keys(object)).toEqual([
      ...["identical", "steps", "firstDifference", "text", "cached", "recompute", "formula"],
    ]);
    for (const run of [object.cached, object.recompute]) {
      expect(Object.keys(run)).toEqual(["inferences", "rowsComputed", "ms", "firstStepMs", "lastStepMs"]);
    }
    expect(object).toMatchObject({
      ...{ identical: true, steps: 4, firstDifference: null, formula: { cached: 8, recompute: 26 } },
      cached: { inferences: 4, rowsComputed: 8 },
      recompute: { inferences: 4, rowsComputed: 26 },
    });
  });

  it("tells the same story each time, then the table and the verdict", async () => {
    const { stdout, stderr, exitCode } = await run(["compare", "--max-tokens", "12"], { stdin: "not read" });
    const { text } = JSON.parse((await run(["compare", "--max-tokens", "12", "--json"])).stdout);
    expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 0 });
    expect(stdout.startsWith(`Once upon a time${text}\n\n`)).toBe(true);
    expect(stdout).toMatch(/\ncached +12 +16 +16 /);
    expect(stdout).toMatch(/\nrecompute +12 +126 +126 /);
    expect(stdout).toContain("\n✔ identical: 12 of 12 steps, bit for bit\n");
    expect(stdout).toContain("24,576 logits compared");
    expect(stdout).not.toContain(ESCAPE);
  });

  it("works by token ids", async () => {
    const { stdout, exitCode } = await run(["compare", "--tokens", "1 2 3", ...TINY, "--max-tokens", "5"]);
    expect(stdout).toMatch(/^1 2 3 \d+ \d+ \d+ \d+ \d+\n\n/);
    expect(exitCode).toBe(0);
  });

  it("colours on a terminal, unless NO_COLOR says no", async () => {
    const args = ["compare", "--max-tokens", "3"];
    const coloured = (await run(args, { isTerminal: true })).stdout;
    expect(coloured).toContain(`${ESCAPE}[32m✔${ESCAPE}[39m`);
    expect((await run(args, { isTerminal: true, env: { NO_COLOR: "1" } })).stdout).not.toContain(ESCAPE);
    expect((await run(args, { env: { FORCE_COLOR: "1" } })).stdout).toContain(ESCAPE);
  });

  it("breaks lines between words on a terminal", async () => {
    const { stdout } = await run(["compare", "--max-tokens", "40"], {
      ...{ isTerminal: true, columns: 40, env: { NO_COLOR: "1" } },
    });
    const story = stdout.slice(0, stdout.indexOf("\n\n")).split("\n");
    expect(story.length).toBeGreaterThan(2);
    for (const line of story) expect(line.length).toBeLessThanOrEqual(40);
    const { text } = JSON.parse((await run(["compare", "--max-tokens", "40", "--json"])).stdout);
    expect(story.join(" ")).toBe(`Once upon a time${text}`.replaceAll("\n", " "));
  });
});

describe("logits", () => {
  it("prints rows that read back to the same floats, near the reference", async () => {
    const [golden] = await goldenCases("tiny");
    const args = ["logits", "--tokens", golden.ids.join(","), ...TINY, "--json"];
    const all = JSON.parse((await run([...args, "--all"])).stdout);
    expect(Object.keys(all)).toEqual(["tokens", "rows"]);
    expect(all.tokens).toEqual(golden.ids);
    expect(all.rows.map((row: { position: number }) => row.position)).toEqual([...golden.ids.keys()]);
    await using model = await load(modelFolders.tiny);
    const { logits } = await model.logits(golden.ids, { rows: "all" });
    const read = Float32Array.from(all.rows.flatMap((row: { logits: number[] }) => row.logits));
    expect(new Uint32Array(read.buffer)).toEqual(new Uint32Array(logits.buffer));
    for (const [i, value] of golden.logits.entries()) expect(Math.abs(read[i] - value)).toBeLessThan(2e-4);

    const last = JSON.parse((await run(args)).stdout);
    expect(last).toEqual({ tokens: all.tokens, rows: [all.rows.at(-1)] });
  });

  it("shows the likeliest tokens", async () => {
    const { stdout, stderr, exitCode } = await run(["logits", "Once upon a", "--top", "3"]);
    expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 0 });
    const lines = stdout.trimEnd().split("\n");
    expect(lines).toHaveLength(5);
    expect(lines[2]).toMatch(/^" time" +394 +\d+\.\d+ % +█{24} +-0\.\d{4} +\d+\.\d{4}$/);
    const everywhere = (await run(["logits", "Once upon a", "--all"])).stdout.trimEnd().split("\n");
    expect(everywhere).toHaveLength(2 + 4);
    expect(everywhere[4]).toMatch(/^ +2 +" upon" +" a" +(\S+ %) +\1$/);
    expect(everywhere[5]).toMatch(/^ +3 +" a" +" time" +\S+ %$/);
  });

  it("shows ids alone for a model without a tokenizer", async () => {
    const { stdout } = await run(["logits", "--tokens", "1,2", ...TINY, "--top", "2"]);
    expect(stdout.split("\n")[0]).toMatch(/^ *id +probability +logprob +logit$/);
  });
});

describe("inspect", () => {
  it("states the sizes", async () => {
    const { stdout, exitCode } = await run(["inspect"]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/parameters +3,161,088\n/);
    expect(stdout).toContain("9.22 kB (9,216 bytes) a token");
    expect(stdout).toContain("147 kB (147,456 bytes) a block of 16 positions");
    expect(stdout).toContain("room for 4 full contexts: the default\n");
    expect(stdout).toContain("at most 512 rows of all sequences");
    expect(stdout).toMatch(/\nh\.0…5\.attn\.c_attn\.weight +F16 +\(192, 576\) +221,184 +110,592\n/);
    expect(stdout).toMatch(/\nstored +F16 76\n +6\.32 MB \(6,322,176 bytes\) in model\.safetensors\n/);
    expect((await run(["inspect", "--tensors"])).stdout).toMatch(/\nh\.3\.attn\.c_attn\.weight +F16 /);
  });

  it("prints the same as JSON", async () => {
    const options = ["--kv-memory", "40000", "--token-budget", "24"];
    const object = JSON.parse((await run(["inspect", ...TINY, ...options, "--json"])).stdout);
    expect(object.tokenBudget).toBe(24);
    expect(object).toMatchObject({
      ...{ model: modelFolders.tiny, tokenizer: false, kernels: "wasm", parameters: 125888, dtype: "f32" },
      architecture: { modelType: "gpt2", numLayers: 2, numHeads: 4, hiddenSize: 64, contextLength: 96 },
      contextBound: "model",
      kv: {
        bytesPerToken: 1024,
        blockSize: 16,
        blockBytes: 16384,
        contextBytes: 98304,
        blocks: 2,
        bytes: 32768,
        bound: "asked",
      },
    });
    const wte = { name: "wte.weight", dtype: "F32", shape: [307, 64], bytes: 78592 };
    expect(object.tensors).toContainEqual(wte);
    expect(object).toMatchObject({
      tensorTypes: { F32: 28 },
      files: [{ name: "model.safetensors" }],
      metadata: [],
    });
    expect(object.architecture).toMatchObject({
      ...{ norm: "layer", normEpsilon: 1e-5, positions: "learned", windows: [null, null] },
    });
  });

  it("of a GGUF file shows its metadata and the types of its tensors", async () => {
    const { stdout, stderr, exitCode } = await run(["inspect", "--model", GGUF]);
    expect([stderr, exitCode]).toEqual(["", 0]);
    expect(stdout).toMatch(/\nstored +F16 8, F32 5\n +124 kB \(123,904 bytes\) in qwen3-f16\.gguf\n/);
    expect(stdout).toMatch(/\n21 keys of metadata +value\n─+\ngeneral\.architecture +qwen3\n/);
    expect(stdout).toMatch(/\nqwen3\.attention\.layer_norm_rms_epsilon +0\.00001\n/);
    expect(stdout).toMatch(/\ntokenizer\.ggml\.tokens +288 texts\n/);
    expect(stdout).toMatch(/\nblk\.0\.attn_q_norm\.weight +F32 +\(32\) +128 +32\n/);
    const object = JSON.parse((await run(["inspect", "--model", GGUF, "--json"])).stdout);
    expect(object).toMatchObject({
      files: [{ name: "qwen3-f16.gguf", bytes: 129760 }],
      tensorTypes: { F16: 8, F32: 5 },
    });
    expect(object.metadata).toHaveLength(21);
    const [first] = object.metadata;
    expect(first).toEqual({ key: "general.architecture", type: "string", value: "qwen3" });
    const types = object.metadata.find(({ key }: { key: string }) => key === "tokenizer.ggml.token_type");
    expect(types).toMatchObject({ type: "array of i32", count: 288 });
    expect(types.value).toHaveLength(16);
  });

  it.each<[FamilyName, string[], RegExp]>([
    [
      "gemma3",
      [
        "gemma3_text: 4 layers, 4 heads of 16 (1 of K and V), width 40, MLP 52",
        "gelu_pytorch_tanh, gated, RMS norm ε 0.000001, output tied to the embeddings, attention scaled by 0.2041",
        "rotary positions, a window of 8 in 3 of 4 layers",
        // 4 layers · (K and V of 1 head of 16 values) · 4 bytes.
        "512 bytes a token, with 4 heads of K and V it would be 2.05 kB",
        // A window of 8 keeps one block and the one that is being filled, of each layer.
        "2.05 kB (2,048 bytes) a block of 16 positions of 1 layer",
        "24.6 kB (24,576 bytes) a full context of 12 blocks",
        "12.3 kB (12,288 bytes) of it for 3 layers with a window of 8",
        "12.3 kB (12,288 bytes) of it for 1 layer that sees everything",
      ],
      /parameters +55,408\n[\s\S]*\nlayers\.0…3\.self_attn\.k_proj\.weight +F16 +\(16, 40\) +1,280 +640\n/,
    ],
    [
      "phi3-longrope",
      [
        "phi3: 2 layers, 4 heads of 8 (2 of K and V), width 32, MLP 52",
        "silu, gated, RMS norm ε 0.00001, output tied to the embeddings",
        "rotary positions in 6 of each head's 8 values, the table for short contexts",
        "256 bytes a token, with 4 heads of K and V it would be 512 bytes",
      ],
      /context +32 of 128 tokens, [\s\S]*parameters +19,520\n/,
    ],
    [
      "smollm3",
      ["smollm3: 5 layers, 6 heads of 6 (2 of K and V), width 36", "rotary positions, none in 1 of 5 layers"],
      /parameters +49,392\n/,
    ],
    [
      "gpt-neox",
      [
        "gpt_neox: 2 layers, 4 heads of 8, width 32, MLP 52",
        "gelu, layer norm ε 0.00001, attention and MLP side by side, output apart from the embeddings",
        "rotary positions in 2 of each head's 8 values",
      ],
      /parameters +22,056\n/,
    ],
    [
      "gpt-neo",
      ["attention scaled by 1", "learned positions, a window of 6 in 2 of 4 layers"],
      /parameters +52,664\n/,
    ],
    ["mistral-window", ["rotary positions, a window of 9 in every layer"], /parameters +25,596\n/],
  ])("says what %s is", async (name, lines, pattern) => {
    const model = ["--model", familyFolder(name), "--threads", "1"];
    const { stdout, exitCode } = await run(["inspect", ...model]);
    expect(exitCode).toBe(0);
    for (const line of lines) expect(stdout).toContain(line);
    expect(stdout).toMatch(pattern);
  });
});

describe("tokenize", () => {
  it("shows ids and pieces", async () => {
    const { stdout, exitCode } = await run(["tokenize", "Once upon a time"]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/\n +0 +0 +"<\|endoftext\|>" special\n +1 +420 +"Once"\n +2 +428 +" upon"\n/);
    expect(stdout).toContain("\n5 tokens\n");
  });

  it("prints ids that --tokens takes, and the same as JSON", async () => {
    const ids = (await run(["tokenize", "--ids"], { stdin: "Once upon\n" })).stdout;
    expect(ids).toBe("0,420,428\n");
    const object = JSON.parse((await run(["tokenize", "--tokens", ids.trim(), "--json"])).stdout);
    expect(object).toEqual({
      tokens: [
        { id: 0, text: "<|endoftext|>" },
        { id: 420, text: "Once" },
        { id: 428, text: " upon" },
      ],
      count: 3,
    });
  });

  it("leaves special tokens out, or reads them, when asked", async () => {
    expect((await run(["tokenize", "Once", "--ids", "--no-special"])).stdout).toBe("420\n");
    const text = "<|endoftext|>Once";
    const plain = (await run(["tokenize", text, "--ids", "--no-special"])).stdout;
    expect(plain.split(",").length).toBeGreaterThan(2);
    expect((await run(["tokenize", text, "--ids", "--no-special", "--parse-special"])).stdout).toBe(
      "0,420\n",
    );
  });
});

describe("tokenize with a GGUF file", () => {
  let parent: string;
  beforeAll(async () => {
    parent = await mkdtemp(join(tmpdir(), "lastrow-vocabulary-"));
  });
  afterAll(() => rm(parent, { recursive: true }));

  /** A vocabulary alone, of an architecture that is not run. */
  async function vocabulary(name: string, change: (metadata: Map<string, GgufValue>) => void) {
    const metadata = ggufVocabulary(tokenizerJson("Llama 3, SmolLM3"), {
      ...{ architecture: "mpt", pre: "llama-bpe" },
      roles: { bos: 324, eos: 758 },
    });
    change(metadata);
    const path = join(parent, name);
    await writeFile(path, writeGguf({ metadata: Object.fromEntries(metadata), tensors: [] }));
    return path;
  }

  it("needs no weights, and no architecture that is known", async () => {
    const tokenizer = await familyTokenizer("Llama 3, SmolLM3");
    const model = await vocabulary("vocabulary.gguf", () => undefined);
    const { stdout, stderr, exitCode } = await run(["tokenize", "Hi 123456", "--ids", "--model", model]);
    expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 0 });
    expect(stdout).toBe(`${tokenizer.encode("Hi 123456").join(",")}\n`);
    const beyond = await run(["tokenize", "--tokens", "99999", "--model", model]);
    expect(beyond.stderr).toContain(`--tokens has 99999; this tokenizer's ids are 0 to 758.`);
  });

  it("says on standard error what it guessed", async () => {
    const model = await vocabulary("guess.gguf", (metadata) => metadata.delete("tokenizer.ggml.pre"));
    const { stdout, stderr } = await run(["tokenize", "Hi", "--ids", "--no-special", "--model", model]);
    expect(stdout).toMatch(/^[\d,]+\n$/);
    expect(stderr).toContain('does not say how it cuts a text into words (tokenizer.ggml.pre); "gpt-2" is');
  });

  it("names the file that has no tokenizer, and the kind that is not read", async () => {
    const none = await vocabulary("none.gguf", (metadata) => metadata.delete("tokenizer.ggml.model"));
    expect((await run(["tokenize", "Hi", "--model", none])).stderr).toContain(
      "none.gguf has no tokenizer (tokenizer.ggml.model). [tokenizer_missing]",
    );
    const other = await vocabulary("bert.gguf", (metadata) =>
      metadata.set("tokenizer.ggml.model", ggufValue.text("bert")),
    );
    expect((await run(["tokenize", "Hi", "--model", other])).stderr).toContain(
      'has a tokenizer of the kind "bert" (tokenizer.ggml.model); "gpt2" and "llama" are read. [model_unsupported]',
    );
  });
});

describe("several continuations", () => {
  const args = ["generate", "Once upon a time", "--max-tokens", "6", "--seed", "3"];

  it("shows them one after another, and all of them as JSON", async () => {
    const plain = await run([...args, "--n", "2"]);
    const { choices } = JSON.parse((await run([...args, "--n", "2", "--json"])).stdout);
    expect(choices).toHaveLength(2);
    expect(plain).toEqual({
      exitCode: 0,
      stdout: `${choices.map(({ text }: { text: string }) => text.trim()).join("\n\n")}\n`,
      stderr: "",
    });
  });

  it("searches with beams, takes the best of several, and speculates", async () => {
    const lm = await load();
    const options = { maxTokens: 6, seed: 3 };
    const beams = await lm
      .generate("Once upon a time", { ...options, numBeams: 3, earlyStopping: true })
      .result();
    const best = await lm.generate("Once upon a time", { ...options, bestOf: 3 }).result();
    await lm.dispose();
    expect((await run([...args, "--num-beams", "3", "--early-stopping", "true"])).stdout).toBe(
      `${beams.text}\n`,
    );
    expect((await run([...args, "--best-of", "3"])).stdout).toBe(`${best.text}\n`);
    expect((await run([...args, "--speculate", "4"])).stdout).toBe((await run(args)).stdout);
    expect((await run([...args, "--early-stopping", "never"])).stderr).toContain("belong to a beam search");
  });
});

describe("cache", () => {
  const alike = "Once upon a time, there was a little boy who liked to play in the park with his dog.";
  const args = [
    "cache",
    `${alike} He ran.`,
    `${alike} It was a sunny day.`,
    "--seed",
    "1",
    "--max-tokens",
    "4",
  ];

  it("shows which sequence holds which blocks, in 80 columns, plain where there is no terminal", async () => {
    const { exitCode, stdout, stderr } = await run(args);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).not.toContain(ESCAPE);
    for (const line of stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(100);
    expect(stdout).toContain("B      0    2");
    expect(stdout).toMatch(/^ {3}0 {2}2 /m);
    expect(stdout).toMatch(/^All blocks in the end\n\n {3}0 {2}○ /m);
    const onScreen = await run(args, { isTerminal: true });
    expect(onScreen.stdout).toContain(ESCAPE);
  });

  it("tells the same as JSON, with every event", async () => {
    const object = JSON.parse((await run([...args, "--json"])).stdout);
    const [first, second] = object.prompts;
    expect([first.numCachedTokens, second.numCachedTokens]).toEqual([0, 16]);
    expect(object.fullest.shared).toEqual([0]);
    expect(object.kv.groups).toEqual([{ window: null }]);
    const { blocks, runs } = object.fullest.sequences[1];
    expect([blocks[0], runs]).toEqual([0, [{ first: 0, blocks }]]);
    expect(object.end.sequences).toEqual([
      { prompt: "A", blocks: [], runs: [] },
      { prompt: "B", blocks: [], runs: [] },
    ]);
    expect(object.events.filter(({ type }: { type: string }) => type === "hit")).toEqual([
      { type: "hit", block: 0, sequence: 2, group: 0, index: 0 },
    ]);
  });

  it("draws a table for each kind of layers, with a point where a window gave a block back", async () => {
    const folder = await mkdtemp(join(tmpdir(), "lastrow-cache-"));
    try {
      for (const file of ["config.json", "model.safetensors"])
        await copyFile(join(familyFolder("gemma3"), file), join(folder, file));
      const vocab = Object.fromEntries(
        Array.from({ length: 101 }, (_, i) => [String.fromCharCode(97 + i), i]),
      );
      const tokenizer = { version: "1.0", added_tokens: [], model: { type: "BPE", vocab, merges: [] } };
      await writeFile(join(folder, "tokenizer.json"), JSON.stringify(tokenizer));
      const prompts = ["a".repeat(40), `${"a".repeat(39)}b`];
      const given = [
        "cache",
        ...prompts,
        "--model",
        folder,
        "--seed",
        "1",
        "--max-tokens",
        "9",
        "--ignore-eos",
      ];
      const { stdout, stderr } = await run(given);
      expect(stderr).toBe("");
      expect(stdout).toMatch(
        /3 layers with a window of 8, in 3 groups, of which the first is shown: [1-9]\d* blocks, [1-9]\d* \(·\) given back\n {7}0 {3}16 {3}32 {3}first position\nA +·( +\d+){2}\n/,
      );
      expect(stdout).toMatch(/\n1 layer that sees everything: \d+ blocks\n.*\nA( +\d+){3}\n/);
      const { kv, fullest } = JSON.parse((await run([...given, "--json"])).stdout);
      expect(kv.groups).toEqual([8, 8, 8, null].map((window) => ({ window })));
      expect(fullest.sequences[0].runs.map(({ first }: { first: number }) => first)).toEqual([1, 1, 1, 0]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("refuses more prompts than there are letters", async () => {
    const { exitCode, stderr } = await run(["cache", ...new Array(27).fill("x")]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain("At most 26 prompts can be shown, a letter for each.");
  });
});
