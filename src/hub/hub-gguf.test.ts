/** GGUF files by Hub name: which file is taken, what is fetched of it, and what a second run needs. */
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, test, vi } from "vitest";
import { blobName, type HubServer, type ServedRepo, startHubServer } from "../../test/hub-server.js";
import type { LastrowError } from "../errors.js";
import { type FetchedModel, type FetchFromHubOptions, fetchFromHub } from "./hub.js";

const COMMIT = "a".repeat(40);
const NEXT = "b".repeat(40);
/** Longer than what is first asked for of a header. */
const LONG = Buffer.from(Uint8Array.from({ length: 3_500_000 }, (_, i) => (i * 31) % 251));
const repo = (files: Record<string, string | Uint8Array>): ServedRepo => ({
  refs: { main: COMMIT, v2: NEXT },
  commits: { [COMMIT]: files, [NEXT]: { ...files, "m-Q4_1.gguf": "new" } },
});
const named = (...names: string[]) => repo(Object.fromEntries(names.map((name) => [name, name])));

let server: HubServer;
let home: string;
beforeAll(async () => {
  server = await startHubServer({
    "org/model": {
      ...named(
        ...["README.md", "config.json", "tokenizer.json", "mmproj-m-f16.gguf"],
        ...["m-Q8_0.gguf", "m-q4_k_m.gguf", "m-Q2_K.gguf"],
      ),
      pageSize: 2,
    },
    "org/both": named("config.json", "model.safetensors", "m-Q8_0.gguf"),
    "org/folders": named(
      ...["Q4_K_M/m-Q4_K_M-00001-of-00002.gguf", "Q4_K_M/m-Q4_K_M-00002-of-00002.gguf"],
      ...["BF16/m-BF16.gguf", "onnx/model.onnx"],
    ),
    "org/two": named("a-Q4_K_M.gguf", "b-Q4_K_M.gguf", "b-Q8_0.gguf"),
    "org/lost": named("m-Q4_0-00001-of-00002.gguf"),
    "org/odd": named("m-Q2_K.gguf", "m-Q3_K_S.gguf"),
    "org/long": repo({ "m-F16.gguf": LONG }),
  });
});
afterAll(() => server.close());
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "lastrow-gguf-"));
});
afterEach(async () => {
  server.intercept = null;
  server.requests.length = 0;
  await rm(home, { recursive: true });
});

function run(name: string, options: Partial<FetchFromHubOptions> = {}) {
  const { env, ...rest } = options;
  return fetchFromHub({ name, env: { HF_HOME: home, HF_ENDPOINT: server.endpoint, ...env }, ...rest });
}
const OFFLINE = { env: { HF_HUB_OFFLINE: "1" } };

async function failure(call: Promise<unknown>): Promise<LastrowError> {
  const error = await call.then(
    () => expect.fail("it did not fail"),
    (thrown: unknown) => thrown as LastrowError,
  );
  expect(error.message).toMatch(/^[^\n]+\.$/);
  return error;
}

const snapshot = (name: string, commit = COMMIT) =>
  join(home, "hub", `models--${name.replace("/", "--")}`, "snapshots", commit);
const fetched = () =>
  server.requests.flatMap(({ server, path }) => (server === "hub" && path !== null ? [path] : []));

test.each([
  ["org/model", "m-q4_k_m.gguf", "org/model:Q4_K_M"],
  ["org/model:q8_0", "m-Q8_0.gguf", "org/model:q8_0"],
  ["org/model@main", "m-q4_k_m.gguf", "org/model:Q4_K_M"],
  ["org/model@v2", "m-q4_k_m.gguf", "org/model:Q4_K_M@v2"],
  ["org/model:Q4_1@v2", "m-Q4_1.gguf", "org/model:Q4_1@v2"],
  ["org/model/m-Q2_K.gguf", "m-Q2_K.gguf", "org/model/m-Q2_K.gguf"],
  [`org/model:m-Q2_K.gguf@${COMMIT}`, "m-Q2_K.gguf", `org/model:m-Q2_K.gguf@${COMMIT}`],
  ["org/model/mmproj-m-f16.gguf", "mmproj-m-f16.gguf", "org/model/mmproj-m-f16.gguf"],
  ["hf.co/org/both:Q8_0", "m-Q8_0.gguf", "hf.co/org/both:Q8_0"],
])("%s is %s, and nothing else is fetched", async (name, file, label) => {
  const { folder, gguf } = await run(name);
  expect(fetched()).toEqual([file]);
  expect(await readdir(folder)).toEqual([file]);
  expect(gguf).toMatchObject({ names: [file], label });
  expect(gguf!.remote.size).toBe(0);
  expect(gguf!.notices).toEqual(
    name.startsWith("org/model@") || name === "org/model"
      ? [
          expect.stringMatching(
            /^m-q4_k_m\.gguf \(13 bytes\) was taken of \d GGUF models; for another add its type .*, such as org\/model:Q/,
          ),
        ]
      : [],
  );
});

test("a repository with safetensors is those where no GGUF file is asked for, also when one was before", async () => {
  await run("org/both:Q8_0");
  const { folder, gguf } = await run("org/both");
  expect(gguf).toBeUndefined();
  expect((await readdir(folder)).sort()).toEqual(["config.json", "m-Q8_0.gguf", "model.safetensors"]);
});

test("shards in a folder lie in that folder of the snapshot, as Python puts them", async () => {
  const { folder, gguf } = await run("org/folders");
  const names = ["m-Q4_K_M-00001-of-00002.gguf", "m-Q4_K_M-00002-of-00002.gguf"];
  expect(folder).toBe(join(snapshot("org/folders"), "Q4_K_M"));
  expect(gguf!.names).toEqual(names);
  for (const name of names) {
    const blob = blobName(`Q4_K_M/${name}`, true);
    expect(await readlink(join(folder, name))).toBe(join("..", "..", "..", "blobs", blob));
    expect(await readFile(join(folder, name), "utf8")).toBe(`Q4_K_M/${name}`);
  }
  const one = await run("org/folders/BF16/m-BF16.gguf");
  expect(await readFile(join(one.folder, one.gguf!.names[0]!), "utf8")).toBe("BF16/m-BF16.gguf");
});

describe("what cannot be chosen is told with what there is", () => {
  it.each([
    [
      "org/two",
      "invalid_argument",
      /2 GGUF models of Q4_K_M, .*a-Q4_K_M\.gguf \(13 bytes\), b-Q4_K_M\.gguf \(13 bytes\); .* org\/two\/a-Q4_K_M\.gguf\.$/,
    ],
    ["org/two:Q6_K", "hub_not_found", /none of "Q6_K": .*b-Q8_0\.gguf \(11 bytes\)/],
    [
      "org/odd",
      "hub_not_found",
      /none of Q4_K_M, .*: m-Q2_K\.gguf \(11 bytes\), .* such as org\/odd:Q2_K\.$/,
    ],
    ["org/model/m-Q6_K.gguf", "hub_not_found", /none of "m-Q6_K\.gguf": .*m-q4_k_m\.gguf/],
    ["org/lost", "hub_not_found", /no m-Q4_0-00002-of-00002\.gguf on the Hub, a shard/],
    ["org/both:Q4_0", "hub_not_found", /none of "Q4_0": m-Q8_0\.gguf/],
  ])("%s", async (name, code, message) => {
    expect(await failure(run(name))).toMatchObject({ code, message: expect.stringMatching(message) });
    expect(fetched()).toEqual([]);
  });
});

describe("a second run", () => {
  it.each([
    "org/model",
    "org/model:Q8_0",
    "org/folders",
    "org/folders/BF16/m-BF16.gguf",
    "org/model:Q4_1@v2",
  ])("of %s asks nothing", async (name) => {
    const first = await run(name);
    const asked = vi.fn<typeof fetch>();
    expect(await run(name, { fetch: asked })).toEqual(first);
    expect(await run(name, { fetch: asked, weights: false })).toEqual(first);
    expect(asked).not.toHaveBeenCalled();
  });

  it("of another type fetches that, and offline says that it is not there", async () => {
    await run("org/model:Q8_0");
    expect((await failure(run("org/model", OFFLINE))).code).toBe("hub_unreachable");
    expect((await failure(run("org/model:Q2_K", OFFLINE))).code).toBe("hub_unreachable");
    expect((await run("org/model")).gguf!.names).toEqual(["m-q4_k_m.gguf"]);
    expect((await run("org/model", OFFLINE)).gguf!.label).toBe("org/model:Q4_K_M");
  });

  it("fetches again what was lost, and asks where the list is of no use", async () => {
    const { folder } = await run("org/folders");
    await rm(join(folder, "m-Q4_K_M-00002-of-00002.gguf"));
    const list = join(snapshot("org/folders"), "..", "..", ".lastrow", `${COMMIT}.json`);
    for (const damaged of ["", "{}", '[{"path": "../../x-Q4_K_M.gguf", "size": 1}]']) {
      await writeFile(list, damaged);
      server.requests.length = 0;
      expect((await run("org/folders")).gguf!.names).toHaveLength(2);
      expect(server.requests.length).toBeGreaterThan(0);
    }
    expect(await readdir(folder)).toHaveLength(2);
  });

  it("takes what Python fetched where the Hub cannot be reached", async () => {
    const folder = snapshot("org/model");
    await mkdir(join(folder, "..", "..", "refs"), { recursive: true });
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "..", "..", "refs", "main"), COMMIT);
    await writeFile(join(folder, "m-Q8_0.gguf"), "m-Q8_0.gguf");
    for (const name of ["org/model", "org/model:Q8_0", "org/model/m-Q8_0.gguf"]) {
      expect((await run(name, OFFLINE)).gguf!.names).toEqual(["m-Q8_0.gguf"]);
    }
    expect(server.requests).toHaveLength(0);
    expect((await run("org/model")).gguf!.names).toEqual(["m-q4_k_m.gguf"]);
    server.requests.length = 0;
    expect((await run("org/model:Q8_0")).gguf!.names).toEqual(["m-Q8_0.gguf"]);
    expect(fetched()).toEqual([]);
  });
});

describe("the header alone", () => {
  async function readRemote({ gguf }: FetchedModel, pieces: readonly number[]): Promise<Buffer> {
    const file = gguf!.remote.get(gguf!.names[0]!)!();
    expect([file.name, file.size]).toEqual(["m-F16.gguf", LONG.length]);
    const target = Buffer.alloc(pieces.reduce((sum, bytes) => sum + bytes, 0));
    let offset = 0;
    for (const bytes of pieces) {
      await file.read(offset, target.subarray(offset, offset + bytes));
      offset += bytes;
    }
    await expect(file.read(LONG.length - 1, new Uint8Array(2))).rejects.toMatchObject({
      code: "model_file_invalid",
    });
    await file.close();
    return target;
  }
  const ranges = () =>
    server.requests.flatMap(({ server, headers }) => (server === "cdn" ? [headers.range] : []));
  const PIECES = [24, 100_000, 1_000_000, 5, LONG.length - 1_100_029];

  it("is read by ranges that grow, where no weights are needed, and nothing is kept", async () => {
    const model = await run("org/long", { weights: false });
    expect(ranges()).toEqual([]);
    expect((await readRemote(model, PIECES)).equals(LONG)).toBe(true);
    expect(ranges()).toEqual(["bytes=0-1048575", "bytes=1048576-3145727", "bytes=3145728-3499999"]);
    expect(await readdir(home)).toEqual([]);
    server.requests.length = 0;
    await readRemote(model, [24]);
    expect(ranges()).toEqual(["bytes=0-1048575"]);
  });

  it("is read from a host that sends the whole, or half of it, or nothing that was asked for", async () => {
    server.intercept = ({ server }, response) => {
      if (server === "cdn") response.writeHead(200, { "content-length": LONG.length }).end(LONG);
      return server === "cdn";
    };
    expect((await readRemote(await run("org/long", { weights: false }), PIECES)).equals(LONG)).toBe(true);
    for (const status of [206, 416]) {
      server.intercept = ({ server }, response) => {
        if (server === "cdn") response.writeHead(status, { "content-range": "bytes 5-9/10" }).end("12345");
        return server === "cdn";
      };
      const model = await run("org/long", { weights: false });
      expect((await failure(readRemote(model, [24]))).message).toContain(`status ${status}`);
    }
    server.intercept = ({ server }, response) => {
      if (server === "cdn") response.writeHead(200).end("GGUF");
      return server === "cdn";
    };
    const short = await failure(readRemote(await run("org/long", { weights: false }), [24]));
    expect(short.message).toContain("m-F16.gguf ended at byte 4 of 3500000");
  });

  it("is there before the weights are downloaded, which it can end", async () => {
    let header = "";
    const beforeWeights = async (found: FetchedModel) => {
      header = (await readRemote(found, [24])).toString("hex");
      throw new Error("too large");
    };
    await expect(run("org/long", { beforeWeights })).rejects.toThrow("too large");
    expect(header).toBe(LONG.subarray(0, 24).toString("hex"));
    expect(ranges()).toEqual(["bytes=0-1048575"]);
    server.requests.length = 0;
    const { folder } = await run("org/long", { beforeWeights: async () => undefined });
    expect(ranges()).toEqual([undefined]);
    expect((await readFile(join(folder, "m-F16.gguf"))).equals(LONG)).toBe(true);
    const again = vi.fn<(found: FetchedModel) => Promise<void>>();
    await run("org/long", { beforeWeights: again });
    expect(again).not.toHaveBeenCalled();
  });
});

test("paths that lead elsewhere are no files of a repository", async () => {
  server.intercept = ({ url }, response) => {
    if (!url.includes("/tree/")) return false;
    const entry = { type: "file", size: 3, oid: "0".repeat(40) };
    const paths = [
      "../../m-Q4_K_M.gguf",
      "a/../m-Q4_K_M.gguf",
      "/m-Q4_K_M.gguf",
      "a\\..\\m-Q4_K_M.gguf",
      ".m-Q4_0.gguf",
    ];
    response.end(JSON.stringify(paths.map((path) => ({ ...entry, path }))));
    return true;
  };
  expect((await failure(run("org/model:Q4_K_M"))).message).toContain("no GGUF file of a language model");
});
