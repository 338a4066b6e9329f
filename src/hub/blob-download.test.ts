import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { blobName, type HubServer, type ServedRequest, startHubServer } from "../../test/hub-server.js";
import type { LastrowError } from "../errors.js";
import { type FetchFromHubOptions, fetchFromHub } from "./hub.js";

const COMMIT = "c".repeat(40);
const CONFIG = '{"a": 1}';
const WEIGHTS = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 31) % 251));
const BLOB = blobName(WEIGHTS, true);
const SECOND = blobName(CONFIG, false);

let server: HubServer;
let home: string;
let blobs: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "lastrow-blob-"));
  blobs = join(home, "hub", "models--org--model", "blobs");
  server = await startHubServer({
    "org/model": {
      refs: { main: COMMIT },
      commits: { [COMMIT]: { "config.json": CONFIG, "model.safetensors": WEIGHTS } },
    },
  });
});
afterEach(async () => {
  await server.close();
  await rm(home, { recursive: true });
});

function run(options: Partial<FetchFromHubOptions> = {}) {
  const { env, ...rest } = options;
  return fetchFromHub({
    name: "org/model",
    env: { HF_HOME: home, HF_ENDPOINT: server.endpoint, ...env },
    ...rest,
  });
}

const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => "success",
    (error: LastrowError) => error.code,
  );

/** Answers requests for the weights' content at the CDN; all else takes its course. */
function answerWeights(answer: (response: ServerResponse, request: ServedRequest) => boolean): void {
  server.intercept = (request, response) => request.server === "cdn" && answer(response, request);
}

/** Sends the first bytes of what was asked for, and breaks the connection when they have arrived. */
function cut(response: ServerResponse, from: number, count: number): true {
  response.writeHead(from === 0 ? 200 : 206, {
    "content-length": WEIGHTS.length - from,
    ...(from > 0 && { "content-range": `bytes ${from}-${WEIGHTS.length - 1}/${WEIGHTS.length}` }),
  });
  response.write(WEIGHTS.subarray(from, from + count), () => void breakOff());
  return true;

  /** What is still under way when a connection breaks is lost, so that on a busy machine less would arrive. */
  async function breakOff() {
    const isThere = async () => {
      const [name = ""] = await partials();
      const found = await stat(join(blobs, name)).catch(() => null);
      return (found?.size ?? 0) >= from + count;
    };
    await vi.waitUntil(isThere, { timeout: 5000, interval: 10 }).catch(() => undefined);
    response.destroy();
  }
}

const ranges = () =>
  server.requests.filter((request) => request.server === "cdn").map(({ headers }) => headers.range);
const partials = async () => (await readdir(blobs)).filter((name) => name.endsWith(".incomplete"));

async function expectWhole(): Promise<void> {
  expect((await readFile(join(blobs, BLOB))).equals(WEIGHTS)).toBe(true);
  expect((await readdir(blobs)).sort()).toEqual([BLOB, SECOND].sort());
}

/** Leaves the first `count` bytes as an interrupted download does. */
async function interruptAt(count: number): Promise<void> {
  let attempts = 0;
  answerWeights((response) => {
    attempts++;
    if (attempts === 1) return cut(response, 0, count);
    response.destroy();
    return true;
  });
  expect(await codeOf(run())).toBe("hub_unreachable");
  expect(await partials()).toEqual([`${BLOB}.lastrow.incomplete`]);
  expect((await readFile(join(blobs, `${BLOB}.lastrow.incomplete`))).equals(WEIGHTS.subarray(0, count))).toBe(
    true,
  );
  server.intercept = null;
  server.requests.length = 0;
}

describe("resuming", () => {
  it("goes on at once when a connection breaks, as long as it gets further", async () => {
    let attempts = 0;
    answerWeights((response) => {
      attempts++;
      if (attempts === 1) return cut(response, 0, 100_000);
      return attempts === 2 && cut(response, 100_000, 50_000);
    });
    await run();
    expect(ranges()).toEqual([undefined, "bytes=100000-", "bytes=150000-"]);
    await expectWhole();
  });

  it("gives up where it gets no further, and a later call goes on", async () => {
    await interruptAt(1000);
    const loaded: number[] = [];
    await run({ onProgress: ({ loadedBytes }) => loaded.push(loadedBytes) });
    expect(ranges()).toEqual(["bytes=1000-"]);
    expect(loaded[0]).toBe(1000);
    expect(loaded.at(-1)).toBe(WEIGHTS.length);
    await expectWhole();
  });

  it("ends though the Hub breaks off and starts over each time", async () => {
    answerWeights((response) => cut(response, 0, 1000));
    expect(await codeOf(run())).toBe("hub_unreachable");
    expect(ranges()).toEqual([undefined, "bytes=1000-"]);
  });

  it.each([
    ["200", 200, {}],
    ["416", 416, { "content-range": `bytes */${WEIGHTS.length}` }],
    ["another part", 206, { "content-range": `bytes 999-${WEIGHTS.length - 1}/${WEIGHTS.length}` }],
    ["a part of another file", 206, { "content-range": `bytes 1000-${WEIGHTS.length - 1}/9999999` }],
    ["a part without its place", 206, {}],
  ])("starts over when the answer is %s", async (_, status, headers) => {
    await interruptAt(1000);
    answerWeights((response, request) => {
      if (request.headers.range === undefined) return false;
      response.writeHead(status, headers).end(status === 200 ? WEIGHTS : "junk");
      return true;
    });
    await run();
    expect(ranges()).toEqual(status === 200 ? ["bytes=1000-"] : ["bytes=1000-", undefined]);
    await expectWhole();
  });

  it("starts over when a part comes as if it were the whole", async () => {
    await interruptAt(1000);
    answerWeights((response, request) => {
      if (request.headers.range === undefined) return false;
      const place = { "content-range": `bytes 1000-${WEIGHTS.length - 1}/${WEIGHTS.length}` };
      response.writeHead(200, place).end(WEIGHTS.subarray(1000));
      return true;
    });
    await run();
    expect(ranges()).toEqual(["bytes=1000-", undefined]);
    await expectWhole();
  });

  it("takes over from a process that was killed, but not from one that runs", async () => {
    await interruptAt(1000);
    const [left] = await partials();
    // No process has this number: Linux ends at 2^22, macOS at 99998, and Windows counts in fours.
    const dead = await ownName(2_000_000_003);
    const alive = await ownName(process.pid);
    const part = await readFile(join(blobs, left!));
    await rm(join(blobs, left!));
    await writeFile(join(blobs, dead), part);
    await writeFile(join(blobs, alive), WEIGHTS.subarray(0, 2000));
    await run();
    expect(ranges()).toEqual(["bytes=1000-"]);
    expect(await partials()).toEqual([alive]);
    expect((await readFile(join(blobs, BLOB))).equals(WEIGHTS)).toBe(true);
  });

  it("takes over from a process that had this one's number before it began, as in a container that starts again", async () => {
    const namesake = await ownName(process.pid);
    await writeFile(join(blobs, namesake), WEIGHTS.subarray(0, 1000));
    const before = new Date(Date.now() - process.uptime() * 1000 - 60_000);
    await utimes(join(blobs, namesake), before, before);
    answerWeights((response) => cut(response, 1000, 0));
    const [first, second] = await Promise.all([codeOf(run()), codeOf(run())]);
    expect([first, second]).toEqual(["hub_unreachable", "hub_unreachable"]);
    server.intercept = null;
    server.requests.length = 0;
    await run();
    expect(ranges()).toEqual(["bytes=1000-"]);
    await expectWhole();
  });

  it.each([
    ["a", 1000, "b", 2000],
    ["a", 2000, "b", 1000],
  ])("goes on with the longest of several parts, and removes the others (%s %i, %s %i)", async (...parts) => {
    await interruptAt(3);
    const dead = await ownName(2_000_000_003);
    const [firstName, firstSize, secondName, secondSize] = parts;
    const named = (end: string) => dead.replace(/[0-9a-f]{8}(?=\.lastrow)/, end.repeat(8));
    await writeFile(join(blobs, named(firstName)), WEIGHTS.subarray(0, firstSize));
    await writeFile(join(blobs, named(secondName)), WEIGHTS.subarray(0, secondSize));
    expect((await partials()).length).toBe(3);
    await run();
    expect(ranges()).toEqual(["bytes=2000-"]);
    await expectWhole();
  });

  it("finishes without asking when all bytes are there already", async () => {
    await interruptAt(1000);
    await writeFile(join(blobs, `${BLOB}.lastrow.incomplete`), WEIGHTS);
    await run();
    expect(ranges()).toEqual([]);
    await expectWhole();
  });

  it("drops a part that is longer than the file", async () => {
    await interruptAt(1000);
    await writeFile(join(blobs, `${BLOB}.lastrow.incomplete`), Buffer.concat([WEIGHTS, WEIGHTS]));
    await run();
    expect(ranges()).toEqual([undefined]);
    await expectWhole();
  });

  it("finds a part that was damaged, deletes it, and succeeds the next time", async () => {
    await interruptAt(1000);
    await writeFile(join(blobs, `${BLOB}.lastrow.incomplete`), Buffer.alloc(1000));
    expect(await codeOf(run())).toBe("hub_integrity");
    expect(await partials()).toEqual([]);
    await run();
    await expectWhole();
  });

  it("keeps what has come when the signal aborts", async () => {
    const controller = new AbortController();
    const call = run({
      signal: controller.signal,
      onProgress: ({ file, loadedBytes }) => {
        if (file === "model.safetensors" && loadedBytes > 10_000) controller.abort();
      },
    });
    expect(await codeOf(call)).toBe("aborted");
    const part = await readFile(join(blobs, `${BLOB}.lastrow.incomplete`));
    expect(part.length).toBeGreaterThan(9000);
    expect(part.equals(WEIGHTS.subarray(0, part.length))).toBe(true);
    await run();
    expect(ranges().at(-1)).toBe(`bytes=${part.length}-`);
    await expectWhole();
  });

  it("aborts while it waits for an answer, and before it asks", async () => {
    const controller = new AbortController();
    server.intercept = () => {
      controller.abort();
      return true;
    };
    expect(await codeOf(run({ signal: controller.signal }))).toBe("aborted");
    server.requests.length = 0;
    expect(await codeOf(run({ signal: AbortSignal.abort() }))).toBe("aborted");
    expect(server.requests).toEqual([]);
  });
});

describe("checking", () => {
  const damaged = Buffer.from(WEIGHTS);
  damaged[1234]! ^= 1;

  it.each([
    ["one other bit", damaged, true],
    ["a byte less", WEIGHTS.subarray(1), true],
    ["a byte more", Buffer.concat([WEIGHTS, WEIGHTS.subarray(0, 1)]), true],
    ["a byte less, in chunks", WEIGHTS.subarray(1), false],
    ["a byte more, in chunks", Buffer.concat([WEIGHTS, WEIGHTS.subarray(0, 1)]), false],
    ["nothing", Buffer.alloc(0), true],
  ])("refuses %s, and keeps nothing of it", async (_, body, statesLength) => {
    answerWeights((response) => {
      if (statesLength) response.setHeader("content-length", body.length);
      else response.setHeader("transfer-encoding", "chunked");
      response.end(body);
      return true;
    });
    expect(await codeOf(run())).toBe("hub_integrity");
    expect(await readdir(blobs)).toEqual([SECOND]);
    server.intercept = null;
    await run();
    await expectWhole();
  });

  it("refuses a small file with another git hash", async () => {
    server.intercept = ({ path }, response) => {
      if (path === "config.json") response.end(CONFIG.replace("1", "2"));
      return path === "config.json";
    };
    expect(await codeOf(run())).toBe("hub_integrity");
    expect(await readdir(blobs)).toEqual([]);
  });

  it.each([500, 403, 404, 206])("says so when the CDN answers %i", async (status) => {
    answerWeights((response) => {
      response.writeHead(status).end();
      return true;
    });
    const error = await run().catch((thrown: LastrowError) => thrown as LastrowError);
    expect(error).toMatchObject({ code: status === 404 ? "hub_not_found" : "hub_unreachable" });
    expect(String(error)).not.toContain("signature");
  });

  it("does not wait for ever", async () => {
    const env = { HF_HUB_DOWNLOAD_TIMEOUT: "0.1" };
    server.intercept = ({ url }) => url.includes("/tree/");
    await expect(run({ env })).rejects.toThrow("no data arrived for 0.1 seconds");
    answerWeights((response) => {
      response.writeHead(200, { "content-length": WEIGHTS.length }).write(WEIGHTS.subarray(0, 10));
      return true;
    });
    await expect(run({ env })).rejects.toThrow("no data arrived for 0.1 seconds");
  });
});

it("lets several downloads of one model run at once", async () => {
  const found = await Promise.all([run(), run(), run(), run()]);
  expect(new Set(found.map(({ folder }) => folder)).size).toBe(1);
  await expectWhole();
});

/** The name under which this machine's process `pid` writes the weights. */
async function ownName(pid: number): Promise<string> {
  let name = "";
  answerWeights((response) => {
    void readdir(blobs).then((names) => {
      name = names.find((found) => found.includes(`-${process.pid}-`)) ?? "";
      response.destroy();
    });
    return true;
  });
  await run().catch(() => {});
  server.intercept = null;
  server.requests.length = 0;
  return name.replace(`-${process.pid}-`, `-${pid}-`);
}
