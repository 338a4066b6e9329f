import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { blobName, type HubServer, type ServedRepo, startHubServer } from "../../test/hub-server.js";
import type { LastrowError } from "../errors.js";
import { type FetchedModel, type FetchFromHubOptions, fetchFromHub, type HubProgress } from "./hub.js";

const COMMIT = "a".repeat(40);
const OLDER = "b".repeat(40);
const WEIGHTS = Buffer.alloc(5000, "weights ");
const INDEX = (names: Record<string, string>) => JSON.stringify({ metadata: {}, weight_map: names });

const single: ServedRepo = {
  refs: { main: COMMIT, "v1.0": OLDER, "refs/pr/1": OLDER },
  commits: {
    [COMMIT]: {
      ".gitattributes": "x",
      "README.md": "# model",
      "config.json": "{}",
      "generation_config.json": '{"eos_token_id": 1}',
      "merges.txt": "unused",
      "model.onnx": "unused",
      "model.safetensors": WEIGHTS,
      "onnx/model.safetensors": "unused",
      "pytorch_model.bin": "unused",
      "tokenizer.json": '{"é": 1}',
      "vocab.json": "unused",
    },
    [OLDER]: {
      "config.json": "{}",
      "merges.txt": "old merges",
      "model.safetensors": "old weights",
      "vocab.json": "{}",
    },
  },
  pageSize: 4,
};
const sharded: ServedRepo = {
  refs: { main: COMMIT },
  commits: {
    [COMMIT]: {
      "config.json": "{}",
      "model-00001-of-00002.safetensors": "first shard",
      "model-00002-of-00002.safetensors": "second shard",
      "model.safetensors.index.json": INDEX({
        b: "model-00002-of-00002.safetensors",
        a: "model-00001-of-00002.safetensors",
        c: "model-00001-of-00002.safetensors",
      }),
      "unnamed.safetensors": "unused",
    },
  },
};
const withFiles = (files: Record<string, string>): ServedRepo => ({
  refs: { main: COMMIT },
  commits: { [COMMIT]: files },
});
const hostileIndex = (shard: string) =>
  withFiles({ "config.json": "{}", "model.safetensors.index.json": INDEX({ a: shard }) });

let server: HubServer;
let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "lastrow-hub-"));
  server = await startHubServer({
    "org/model": single,
    distil: single,
    "org/sharded": sharded,
    "org/gated": { ...single, token: "hf_secret" },
    "org/torch": withFiles({ "config.json": "{}", "pytorch_model.bin": "x" }),
    "org/embeds": withFiles({
      "1_Pooling/config.json": '{"pooling_mode_lasttoken": true}',
      "1_Pooling/other.json": "unused",
      "2_Normalize/config.json": "unused",
      "config.json": "{}",
      "config_sentence_transformers.json": '{"prompts": {}}',
      "model.safetensors": "x",
      "modules.json": "[]",
    }),
    "org/bare": withFiles({ "model.safetensors": "x" }),
    "org/escaping": hostileIndex("../../escape.safetensors"),
    "org/odd-shard": hostileIndex("weights.bin"),
    "org/lost-shard": hostileIndex("lost.safetensors"),
    "org/no-tokenizer": withFiles({ "config.json": "{}", "model.safetensors": "x" }),
  });
});
afterEach(async () => {
  await server.close();
  await rm(home, { recursive: true });
});

function run(name: string, options: Partial<FetchFromHubOptions> = {}) {
  const { env, ...rest } = options;
  return fetchFromHub({ name, env: { HF_HOME: home, HF_ENDPOINT: server.endpoint, ...env }, ...rest });
}

async function failure(call: Promise<unknown>): Promise<LastrowError> {
  const error = await call.then(
    () => expect.fail("it did not fail"),
    (thrown: unknown) => thrown as LastrowError,
  );
  expect(error.name).toBe("LastrowError");
  expect(error.message).toMatch(/^[^\n]+\.$/);
  return error;
}

const folderOf = (repo: string) => join(home, "hub", `models--${repo.replace("/", "--")}`);
const fetchedPaths = () => server.requests.filter(({ server }) => server === "hub").map(({ path }) => path);

describe("a fresh download", () => {
  it("fetches just what is needed, into Python's layout", async () => {
    const { folder, commit } = await run("org/model");
    const repo = folderOf("org/model");
    expect(commit).toBe(COMMIT);
    expect(folder).toBe(join(repo, "snapshots", COMMIT));
    const names = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"];
    expect((await readdir(folder)).sort()).toEqual(names);
    for (const name of names) {
      const content = single.commits[COMMIT]![name]!;
      const blob = blobName(content, name === "model.safetensors");
      expect(await readlink(join(folder, name))).toBe(join("..", "..", "blobs", blob));
      expect(await readFile(join(folder, name))).toEqual(Buffer.from(content));
    }
    expect(await readdir(join(repo, "blobs"))).toHaveLength(names.length);
    expect(await readFile(join(repo, "refs", "main"), "utf8")).toBe(COMMIT);
    expect((await readdir(join(repo, ".no_exist", COMMIT))).sort()).toEqual([
      "added_tokens.json",
      "chat_template.jinja",
      "chat_template.json",
      "modules.json",
      "special_tokens_map.json",
      "tokenizer_config.json",
    ]);
    expect((await readdir(repo)).sort()).toEqual([".no_exist", "blobs", "refs", "snapshots"]);
  });

  it("fetches how vectors of texts are made, of folders what is known of them, and asks for nothing of it again", async () => {
    const { folder } = await run("org/embeds");
    expect((await readdir(folder, { recursive: true })).sort()).toEqual([
      "1_Pooling",
      "1_Pooling/config.json",
      "config.json",
      "config_sentence_transformers.json",
      "model.safetensors",
      "modules.json",
    ]);
    expect(await readFile(join(folder, "1_Pooling/config.json"), "utf8")).toContain("lasttoken");
    const absent = join(folderOf("org/embeds"), ".no_exist", COMMIT);
    expect(await readdir(absent, { recursive: true })).toContain("1_LogitScore/config.json");
    server.requests.length = 0;
    expect(await run("org/embeds")).toEqual({ folder, commit: COMMIT });
    expect(server.requests).toEqual([]);
  });

  it("asks for the commit once and then only by commit", async () => {
    await run("org/model");
    const urls = server.requests.filter(({ server }) => server === "hub").map(({ url }) => url);
    expect(urls.filter((url) => url.includes("/revision/main"))).toHaveLength(1);
    expect(urls.filter((url) => !url.includes("/revision/main")).every((url) => url.includes(COMMIT))).toBe(
      true,
    );
  });

  it("takes vocab.json and merges.txt where there is no tokenizer.json, and a name without an owner", async () => {
    const { folder } = await run("distil@v1.0");
    expect(folder).toBe(join(folderOf("distil"), "snapshots", OLDER));
    expect((await readdir(folder)).sort()).toEqual([
      "config.json",
      "merges.txt",
      "model.safetensors",
      "vocab.json",
    ]);
    expect(await readFile(join(folderOf("distil"), "refs", "v1.0"), "utf8")).toBe(OLDER);
  });

  it("keeps refs with slashes as nested folders", async () => {
    expect((await run("org/model@refs/pr/1")).commit).toBe(OLDER);
    expect(await readFile(join(folderOf("org/model"), "refs", "refs", "pr", "1"), "utf8")).toBe(OLDER);
  });

  it("takes a commit as it is and writes no ref for it", async () => {
    expect((await run(`org/model@${OLDER}`)).commit).toBe(OLDER);
    expect(server.requests.some(({ url }) => url.includes("/revision/"))).toBe(false);
    expect(await readdir(folderOf("org/model"))).not.toContain("refs");
  });

  it("fetches the shards that the index names, and counts all in one total", async () => {
    const seen: HubProgress[] = [];
    const { folder } = await run("org/sharded", { onProgress: (progress) => seen.push(progress) });
    expect((await readdir(folder)).sort()).toEqual([
      "config.json",
      "model-00001-of-00002.safetensors",
      "model-00002-of-00002.safetensors",
      "model.safetensors.index.json",
    ]);
    const totalBytes = "{}".length + "first shard".length + "second shard".length;
    expect(new Set(seen.map((progress) => progress.totalBytes))).toEqual(new Set([totalBytes]));
    const loaded = seen.map(({ loadedBytes }) => loadedBytes);
    expect(loaded).toEqual([...loaded].sort((a, b) => a - b));
    expect(loaded.at(-1)).toBe(totalBytes);
    expect(seen.at(-1)).toMatchObject({ phase: "download", file: "model-00002-of-00002.safetensors" });
  });

  it("loads a file that two commits share once", async () => {
    await run("org/model");
    await run("org/model@v1.0");
    expect(fetchedPaths().filter((path) => path === "config.json")).toHaveLength(1);
  });

  it("follows a repository to its new name on the same Hub", async () => {
    server.intercept = ({ url }, response) => {
      if (!url.includes("org/former")) return false;
      response.writeHead(307, { location: url.replace("org/former", "org/gated") }).end();
      return true;
    };
    const { folder } = await run("org/former", { env: { HF_TOKEN: "hf_secret" } });
    expect(folder).toBe(join(folderOf("org/former"), "snapshots", COMMIT));
  });

  it("writes nothing to the console or to standard output", async () => {
    const outputs = [
      vi.spyOn(process.stdout, "write"),
      vi.spyOn(process.stderr, "write"),
      ...(["log", "debug", "info", "warn", "error"] as const).map((method) => vi.spyOn(console, method)),
    ];
    try {
      await run("org/model");
      await failure(run("org/none"));
      for (const output of outputs) expect(output).not.toHaveBeenCalled();
    } finally {
      vi.restoreAllMocks();
    }
  });
});

describe("without the weights", () => {
  it("fetches all others, asks no more for them, and gets the weights when they are needed", async () => {
    const first = await run("org/model", { weights: false });
    const names = ["config.json", "generation_config.json", "tokenizer.json"];
    expect((await readdir(first.folder)).sort()).toEqual(names);
    const asked = vi.fn<typeof fetch>();
    expect(await run("org/model", { weights: false, fetch: asked })).toEqual(first);
    expect(await run("org/model", { weights: false, env: { HF_HUB_OFFLINE: "1" } })).toEqual(first);
    expect(asked).not.toHaveBeenCalled();
    const offline = await failure(run("org/model", { env: { HF_HUB_OFFLINE: "1" } }));
    expect(offline.code).toBe("hub_unreachable");
    server.requests.length = 0;
    expect(await run("org/model")).toEqual(first);
    expect(fetchedPaths().filter(Boolean)).toEqual(["model.safetensors"]);
  });

  it("needs no index of shards, and no weights to be there", async () => {
    const { folder } = await run("org/sharded", { weights: false });
    expect(await readdir(folder)).toEqual(["config.json"]);
    expect((await run("org/torch", { weights: false })).commit).toBe(COMMIT);
    expect((await failure(run("org/bare", { weights: false }))).code).toBe("model_unsupported");
  });
});

describe("before weights are downloaded", () => {
  it.each(["org/model", "org/sharded"])("of %s, all other files are there to be looked at", async (name) => {
    const seen: string[][] = [];
    const beforeWeights = async ({ folder }: FetchedModel) => {
      seen.push((await readdir(folder)).sort());
      expect(fetchedPaths().some((path) => path?.endsWith(".safetensors"))).toBe(false);
    };
    const { folder } = await run(name, { beforeWeights });
    const all = (await readdir(folder)).sort();
    expect(seen).toEqual([all.filter((file) => !file.endsWith(".safetensors"))]);
    // Whatever is there already is no download.
    expect((await run(name, { beforeWeights })).folder).toBe(folder);
    expect(seen).toHaveLength(1);
  });

  it("it can be ended, and nothing of them is asked for", async () => {
    const refuse = async () => {
      throw new Error("too large");
    };
    await expect(run("org/model", { beforeWeights: refuse })).rejects.toThrow("too large");
    expect(fetchedPaths()).not.toContain("model.safetensors");
    expect(await readdir(folderOf("org/model"))).not.toContain("refs");
    expect((await run("org/model")).commit).toBe(COMMIT);
  });
});

describe("a second run", () => {
  it.each(["org/model", "org/model@v1.0", `org/model@${OLDER}`, "org/sharded", "org/no-tokenizer"])(
    "of %s asks nothing and needs no Hub",
    async (name) => {
      const first = await run(name);
      await server.close();
      const asked = vi.fn<typeof fetch>();
      expect(await run(name, { fetch: asked })).toEqual(first);
      expect(asked).not.toHaveBeenCalled();
    },
  );

  it("fetches again what was lost", async () => {
    const { folder } = await run("org/model");
    await rm(join(folderOf("org/model"), "blobs", blobName(WEIGHTS, true)));
    server.requests.length = 0;
    await run("org/model");
    expect(fetchedPaths().filter(Boolean)).toEqual(["model.safetensors"]);
    expect(await readFile(join(folder, "model.safetensors"))).toEqual(WEIGHTS);
  });

  it("asks for what Python did not fetch, and does without it where there is no network", async () => {
    const repo = folderOf("org/model");
    const snapshot = join(repo, "snapshots", COMMIT);
    await mkdir(snapshot, { recursive: true });
    await mkdir(join(repo, "refs"));
    await writeFile(join(repo, "refs", "main"), COMMIT);
    await writeFile(join(snapshot, "config.json"), "{}");
    await writeFile(join(snapshot, "model.safetensors"), WEIGHTS);
    const usable = { folder: snapshot, commit: COMMIT };

    expect(await run("org/model", { env: { HF_HUB_OFFLINE: "1" } })).toEqual(usable);
    expect(await run("org/model", { env: { HF_ENDPOINT: "http://127.0.0.1:1" } })).toEqual(usable);
    expect(await readdir(snapshot)).toHaveLength(2);
    expect(server.requests).toHaveLength(0);

    expect(await run("org/model")).toEqual(usable);
    expect(fetchedPaths().filter(Boolean)).toEqual(["generation_config.json", "tokenizer.json"]);
    expect((await lstat(join(snapshot, "config.json"))).isFile()).toBe(true);
  });

  it("that is cancelled ends with that, though what is there could be used", async () => {
    const { folder } = await run("org/model");
    await rm(join(folder, "tokenizer.json"));
    await rm(join(folderOf("org/model"), ".no_exist"), { recursive: true });
    const controller = new AbortController();
    const cancelling: typeof fetch = (...args) => {
      controller.abort();
      return fetch(...args);
    };
    const cancelled = run("org/model", { signal: controller.signal, fetch: cancelling });
    expect((await failure(cancelled)).code).toBe("aborted");
    const lost: typeof fetch = () => Promise.reject(new TypeError("no network"));
    expect((await run("org/model", { fetch: lost })).folder).toBe(folder);
  });

  it("asks again when the ref or the index is of no use", async () => {
    await run("org/sharded");
    const repo = folderOf("org/sharded");
    await writeFile(join(repo, "refs", "main"), "../../elsewhere");
    await rm(join(repo, "snapshots", COMMIT, "model-00001-of-00002.safetensors"));
    server.requests.length = 0;
    await run("org/sharded");
    expect(server.requests.length).toBeGreaterThan(0);
    expect(await readFile(join(repo, "refs", "main"), "utf8")).toBe(COMMIT);
  });

  it("does not follow a ref out of the cache", async () => {
    const repo = folderOf("org/model");
    const outside = join(home, "outside");
    for (const folder of [outside, join(repo, "refs"), join(repo, "snapshots")]) {
      await mkdir(folder, { recursive: true });
    }
    for (const name of ["config.json", "model.safetensors"]) await writeFile(join(outside, name), "x");
    await writeFile(join(repo, "refs", "main"), "../../../outside");
    const error = await failure(run("org/model", { env: { HF_HUB_OFFLINE: "1" } }));
    expect(error.code).toBe("hub_unreachable");
  });
});

describe("the environment", () => {
  it("puts the cache where HF_HUB_CACHE says", async () => {
    const { folder } = await run("org/model", { env: { HF_HUB_CACHE: join(home, "elsewhere") } });
    expect(folder).toBe(join(home, "elsewhere", "models--org--model", "snapshots", COMMIT));
  });

  it("touches no network with HF_HUB_OFFLINE, and names the folder option", async () => {
    const asked = vi.fn<typeof fetch>();
    const error = await failure(run("org/model", { env: { HF_HUB_OFFLINE: "on" }, fetch: asked }));
    expect(error.code).toBe("hub_unreachable");
    expect(error.message).toContain("HF_HUB_OFFLINE");
    expect(error.message).toContain("--model ./folder");
    expect(asked).not.toHaveBeenCalled();
    expect(server.requests).toHaveLength(0);
  });

  it.each(["variable", "file"])("sends the token from the %s to the Hub and to no other", async (where) => {
    if (where === "file") await writeFile(join(home, "token"), "hf_secret\n");
    await run("org/gated", { env: where === "variable" ? { HF_TOKEN: "hf_secret" } : {} });
    const at = (name: string) => server.requests.filter((request) => request.server === name);
    expect(at("cdn")).toHaveLength(1);
    for (const { headers } of at("hub")) expect(headers.authorization).toBe("Bearer hf_secret");
    for (const { headers } of at("cdn")) expect(JSON.stringify(headers)).not.toContain("hf_secret");
  });

  it("sends no token after a link of the listing that leads elsewhere", async () => {
    server.intercept = (request, response) => {
      const isTree = request.url.includes("/tree/");
      if (isTree) {
        response.setHeader("link", request.server === "hub" ? `<${server.cdn}/tree/>; rel="next"` : "");
        response.end("[]");
      }
      return isTree;
    };
    await failure(run("org/gated", { env: { HF_TOKEN: "hf_secret" } }));
    const elsewhere = server.requests.filter((request) => request.server === "cdn");
    expect(elsewhere).toHaveLength(1);
    expect(JSON.stringify(elsewhere)).not.toContain("hf_secret");
  });

  it("says when the cache folder cannot be a folder", async () => {
    await writeFile(join(home, "file"), "");
    const error = await failure(run("org/model", { env: { HF_HUB_CACHE: join(home, "file") } }));
    expect(error.code).toBe("invalid_argument");
    expect(error.message).toContain(join(home, "file"));
  });
});

describe("what cannot be had", () => {
  const secret = { HF_TOKEN: "hf_wrong" };

  it.each([
    ["org/none", {}, "hub_not_found", "no model org/none"],
    ["org/model@v9", {}, "hub_not_found", "org/model at revision v9"],
    ["org/gated", {}, "hub_not_found", "set HF_TOKEN"],
    ["org/gated", secret, "hub_not_found", "may not read it"],
    ["org/torch", {}, "model_unsupported", "pytorch_model.bin"],
    ["org/bare", {}, "model_unsupported", "config.json"],
    ["org/escaping", {}, "model_file_invalid", "../../escape.safetensors"],
    ["org/odd-shard", {}, "model_file_invalid", "weights.bin"],
    ["org/lost-shard", {}, "hub_not_found", "lost.safetensors"],
    ["../model", {}, "invalid_argument", "../model"],
  ])("%s %j: %s", async (name, env, code, text) => {
    const error = await failure(run(name, { env }));
    expect(error.code).toBe(code);
    expect(error.message).toContain(text);
    expect(error.message).not.toContain("hf_");
    expect(await readdir(home, { recursive: true })).not.toContain(join("hub", "models--org--model", "refs"));
  });

  it.each([
    ["no such host", "ENOTFOUND"],
    ["refused", "ECONNREFUSED"],
  ])("%s: says that there is no network and names the folder option", async (_, code) => {
    const env = { HF_ENDPOINT: "http://127.0.0.1:1" };
    const asked: typeof fetch = async () => {
      throw new TypeError("fetch failed", { cause: Object.assign(new Error(), { code }) });
    };
    const error = await failure(run("org/model", code === "ENOTFOUND" ? { env, fetch: asked } : { env }));
    expect(error.code).toBe("hub_unreachable");
    expect(error.message).toMatch(/^org\/model cannot be fetched from http:\/\/127\.0\.0\.1:1: no network/);
    expect(error.message).toContain('--model ./folder, or load("./folder")');
    expect(await readdir(home)).toEqual([]);
  });

  it.each([
    ["a login page", 200, "<html>"],
    ["JSON of another kind", 200, '{"sha": "../.."}'],
    ["null", 200, "null"],
    ["a failure of the Hub", 503, "later"],
  ])("%s is not a Hub that can be reached", async (_, status, body) => {
    server.intercept = (_request, response) => {
      response.writeHead(status).end(body);
      return true;
    };
    expect((await failure(run("org/model"))).code).toBe("hub_unreachable");
  });

  it.each([
    ["a size", { size: -1 }],
    ["a hash", { oid: "../../x" }],
    ["a digest", { lfs: { oid: "abc", size: 1, pointerSize: 1 } }],
  ])("a listing with %s that is none", async (_, wrong) => {
    server.intercept = ({ url }, response) => {
      if (!url.includes("/tree/")) return false;
      const entry = { type: "file", path: "config.json", size: 2, oid: "0".repeat(40), ...wrong };
      response.end(JSON.stringify([entry]));
      return true;
    };
    expect((await failure(run("org/model"))).code).toBe("hub_integrity");
  });

  it("a listing without an end, and redirects without one", async () => {
    server.intercept = ({ url }, response) => {
      if (!url.includes("/tree/")) return false;
      response.setHeader("link", `<${server.endpoint}${url}>; rel="next"`).end("[]");
      return true;
    };
    expect((await failure(run("org/model"))).message).toContain("no end");
    server.intercept = ({ url }, response) => {
      response.writeHead(302, { location: url }).end();
      return true;
    };
    expect((await failure(run("org/model"))).message).toContain("redirects more than 10 times");
  });

  it("a commit that is none goes into no address and no path", async () => {
    server.intercept = (_request, response) => {
      response.end('{"sha": "../../.."}');
      return true;
    };
    expect((await failure(run("org/model"))).message).toContain("it names no commit");
    expect(server.requests).toHaveLength(1);
  });

  it("a redirect from https to http", async () => {
    const asked = vi.fn<typeof fetch>(async () => {
      return new Response(null, { status: 302, headers: { location: server.endpoint } });
    });
    const env = { HF_ENDPOINT: "https://hub.invalid" };
    expect((await failure(run("org/model", { env, fetch: asked }))).code).toBe("hub_unreachable");
    expect(asked).toHaveBeenCalledTimes(1);
  });

  it.each(["", "file:///etc/passwd", "http://"])("a redirect to %j", async (location) => {
    server.intercept = (_request, response) => {
      response.writeHead(302, { location }).end();
      return true;
    };
    expect((await failure(run("org/model"))).code).toBe("hub_unreachable");
  });
});
