/**
 * The TypeScript of the pages, run as it stands. Small random models answer to the names of those that are downloaded, a folder takes
 * the place of a Redis, and files are in a folder of the test's own. That it fits the package's types is for test/package.
 */
import { openAsBlob, readFileSync } from "node:fs";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import OpenAI from "openai";
import ts from "typescript";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { z } from "zod";
import * as explain from "../../src/explain/index.js";
import type { LanguageModel, LoadOptions } from "../../src/index.js";
import * as library from "../../src/index.js";
import * as server from "../../src/server/index.js";
import * as tier from "../../src/tier/index.js";
import { chatModelFiles, publishedTemplate } from "../chat-model.js";
import { embeddingModelFiles } from "../embedding-model.js";
import { memoryFiles } from "../memory-files.js";

const root = fileURLToPath(new URL("../../", import.meta.url));
/** Pieces of the sources, not programs. */
const ABOUT_THE_SOURCES = "docs/adding-a-model.md";
const pages = [
  "README.md",
  ...(await readdir(join(root, "docs"))).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`),
].filter((page) => page !== ABOUT_THE_SOURCES);
const samples = pages.flatMap((page) =>
  [...readFileSync(join(root, page), "utf8").matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code], i) => ({
    name: `${page}, example ${i + 1}`,
    code,
  })),
);

const CHATS = chatModelFiles({
  template: publishedTemplate("published/Qwen-Qwen3-0.6B"),
  specials: ["<|im_start|>", "<|im_end|>"],
  added: ["<think>", "</think>", "<tool_call>", "</tool_call>"],
  contextLength: 1024,
  generation: { bos_token_id: 0, eos_token_id: 0, max_new_tokens: 12 },
}).files;
const VECTORS = embeddingModelFiles({
  pooling: "lasttoken",
  prompts: { prompts: { query: "Find: " } },
}).files;
const STAND_INS: Readonly<Record<string, Record<string, Uint8Array>>> = {
  "Qwen/Qwen3-0.6B": CHATS,
  "Qwen/Qwen3-Embedding-0.6B": VECTORS,
};

let folder: string;
/** What the examples take to be there: the model inside, and one that chats. */
let stories: LanguageModel;
let chats: LanguageModel;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-examples-"));
  await writeFile(join(folder, "tier.key"), new Uint8Array(32), { mode: 0o600 });
  await writeFile(join(folder, "keys.txt"), "client a-key-that-is-as-long-as-keys-have-to-be\n", {
    mode: 0o600,
  });
  // Nothing is downloaded.
  vi.stubEnv("HF_HUB_OFFLINE", "1");
  vi.stubEnv("HF_HOME", folder);
  stories = await library.load();
  chats = await library.load(memoryFiles("chats", CHATS));
});
const loaded: LanguageModel[] = [];
const servers: server.LastrowServer[] = [];
const listening: server.Listening[] = [];
afterEach(async () => {
  for (const lm of loaded.splice(0)) await lm.dispose();
  for (const one of listening.splice(0)) await one.close(0);
  for (const one of servers.splice(0)) await one.dispose();
});
afterAll(async () => {
  await stories.dispose();
  await chats.dispose();
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

/** What an example imports. That of docs/errors.md is to fail; elsewhere the model inside takes the place of GPT-2. */
function modulesFor(page: string): Readonly<Record<string, object>> {
  const load = async (source?: library.ModelSource, options?: LoadOptions) => {
    const named = typeof source === "string" ? STAND_INS[source] : undefined;
    const isGpt2 = source === "openai-community/gpt2" && !page.includes("errors.md");
    const lm = await library.load(
      named === undefined ? (isGpt2 ? undefined : source) : memoryFiles(String(source), named),
      options,
    );
    loaded.push(lm);
    return lm;
  };
  return {
    lastrow: { ...library, load },
    "lastrow/explain": explain,
    "lastrow/server": {
      async createServer(options: server.ServerOptions) {
        const one = await server.createServer({ ...options, model: "stories" });
        servers.push(one);
        return one;
      },
      async listen(one: server.LastrowServer) {
        const address = await server.listen(one, { port: 0 });
        listening.push(address);
        return address;
      },
    },
    "lastrow/tier": {
      ...tier,
      redisTier: ({ key }: tier.RedisTierOptions) =>
        tier.directoryTier({ folder: join(folder, "tier"), key }),
    },
    zod: { z },
  };
}

/** The example as the body of a function: its imports are looked up, its types are gone, its files are in the folder. */
function bodyOf(code: string): string {
  const body = code
    .replace(/^import (\w+) from ("[\w/]+");$/gm, "const { default: $1 } = modules[$2];")
    .replace(/^import (\{.*\}) from ("[\w/]+");$/gm, "const $1 = modules[$2];")
    .replace(/"([\w.]+\.(?:safetensors|key|txt))"/g, (_, name) => JSON.stringify(join(folder, name)));
  expect(body).not.toMatch(/^import /m);
  const options = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext };
  // Names of the example's own may be those that are handed in.
  return ts.transpileModule(`{\n${body}\n}`, { compilerOptions: options }).outputText;
}

const AsyncFunction = (async () => undefined).constructor as new (
  ...args: string[]
) => (...values: unknown[]) => Promise<unknown>;

/** Runs an example. @returns what it wrote to the console, in lines, and to standard output */
async function runExample(name: string, code: string, more: Readonly<Record<string, object>> = {}) {
  const lines: string[] = [];
  let written = "";
  const say = (...values: unknown[]) => {
    lines.push(values.map((value) => (typeof value === "string" ? value : inspect(value))).join(" "));
  };
  const granted = {
    modules: { ...modulesFor(name), ...more },
    console: { log: say, error: say },
    process: { stdout: { write: (text: string) => (written += text) }, once: () => undefined },
    // A folder's files in a page.
    document: { querySelector: () => ({ files: inputFiles }) },
    fetch: async () => Response.json({ sky: "clear" }),
    lm: name.startsWith("docs/chat.md") ? chats : stories,
    model: stories,
    config: stories.info.config,
    schema: { type: "object", properties: { name: { enum: ["Spot"] } }, required: ["name"] },
    tokens: [1, 2, 3],
    tokenTexts: ["a", "b", "c"],
    dim: (text: string) => text,
    z,
  };
  const body = bodyOf(code);
  await new AsyncFunction(...Object.keys(granted), body)(...Object.values(granted));
  return { lines, written };
}

const inputFiles = await Promise.all(
  ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"].map(async (file) => {
    const blob = await openAsBlob(join(root, "models/stories", file));
    return new File([blob], basename(file));
  }),
);

/** What the comment behind a `console.log` says it prints. */
const promisedLines = (code: string) =>
  [...code.matchAll(/^ *console\.log\(.*\);\s+\/\/ (.*)$/gm)].map(([, text]) => text);

const SERVER = "README.md, example 6";

test.each(samples.filter(({ name }) => name !== SERVER))("$name", async ({ name, code }) => {
  const { lines, written } = await runExample(name, code);
  const promised = promisedLines(code);
  expect(lines.filter((line) => promised.includes(line))).toEqual(promised);
  if (code.includes("process.stdout.write")) expect(written.length).toBeGreaterThan(10);
  if (name.includes("errors.md")) expect(lines).toEqual(["Are we offline?"]);
  // An example tidies up: what is copied from it holds no memory for good.
  for (const lm of [stories, chats])
    expect((await lm.stats()).sequences).toMatchObject({ running: 0, idle: 0 });
});

test("README.md's client of the server", async () => {
  const { code } = samples.find(({ name }) => name === SERVER)!;
  const one = await server.createServer({ model: "stories" });
  const { url } = await server.listen(one, { port: 0 });
  class Client extends OpenAI {
    constructor(options: object) {
      super({ ...options, baseURL: `${url}/v1` });
    }
  }
  try {
    const { lines } = await runExample(SERVER, code, { openai: { default: Client } });
    expect(lines.join("").length).toBeGreaterThan(10);
  } finally {
    await one.dispose();
  }
});

test("the examples are found, and one that fails would be seen", async () => {
  expect(samples.length).toBeGreaterThan(15);
  await expect(runExample("README.md", 'await lm.generate("x", { maxToken: 3 }).result();')).rejects.toThrow(
    /maxTokens/,
  );
  expect(promisedLines("console.log(report.identical);   // true\n")).toEqual(["true"]);
});
