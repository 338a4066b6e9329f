/** A Hub, or what it redirects to, that is busy and says when to come back. */
import { mkdtemp, rm } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type HubServer, type ServedRequest, startHubServer } from "../../test/hub-server.js";
import { fetchFromHub, type HubProgress } from "./hub.js";

const COMMIT = "c".repeat(40);

let server: HubServer;
let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "lastrow-busy-"));
  const files = { "config.json": "{}", "model.safetensors": new Uint8Array(1000) };
  server = await startHubServer({ "org/model": { refs: { main: COMMIT }, commits: { [COMMIT]: files } } });
});
afterEach(async () => {
  await server.close();
  await rm(home, { recursive: true });
});

const run = (options: { onProgress?: (progress: HubProgress) => void; signal?: AbortSignal } = {}) =>
  fetchFromHub({ name: "org/model", env: { HF_HOME: home, HF_ENDPOINT: server.endpoint }, ...options });

/** Answers the first `times` requests that are so with a status and when to come back. */
function busy(
  times: number,
  status: number,
  after: string | null,
  isMeant = (_: ServedRequest) => true,
): void {
  let left = times;
  server.intercept = (request, response: ServerResponse) => {
    if (left === 0 || !isMeant(request)) return false;
    left -= 1;
    response.writeHead(status, after === null ? {} : { "retry-after": after }).end("busy");
    return true;
  };
}

describe("a busy Hub", () => {
  it.each([
    ["429", 429, "0"],
    ["503", 503, "0"],
    ["429 until a time that has passed", 429, "Wed, 21 Oct 2015 07:28:00 GMT"],
  ])("that answers %s is asked again", async (_, status, after) => {
    busy(3, status, after);
    await run();
    const [first, second, third, fourth, fifth] = server.requests.map(({ url }) => url);
    expect([second, third, fourth]).toEqual([first, first, first]);
    expect(fifth).not.toBe(first);
  });

  it("may be what the Hub redirects to; the Hub is then asked for a fresh address", async () => {
    busy(1, 503, "0", ({ server: which }) => which === "cdn");
    await run();
    const weights = server.requests.filter(({ path }) => path === "model.safetensors");
    expect(weights.map((request) => request.server)).toEqual(["hub", "cdn", "hub", "cdn"]);
  });

  it("is waited for as long as it asks, and whoever waits is told", async () => {
    busy(1, 429, "1", ({ path }) => path === "model.safetensors");
    const told: HubProgress[] = [];
    await run({ onProgress: (progress) => told.push(progress) });
    expect(told.filter(({ retryInSeconds }) => retryInSeconds !== undefined)).toEqual([
      { phase: "download", file: "model.safetensors", loadedBytes: 2, totalBytes: 1002, retryInSeconds: 1 },
    ]);
  });

  it.each([
    ["3600 seconds", "3600", 1],
    ["no time, over and over", "0", 11],
    ["whenever", "soon", 1],
    ["nothing", null, 1],
  ])("that asks for %s is given up", async (_, after, requests) => {
    busy(Infinity, 429, after);
    await expect(run()).rejects.toMatchObject({
      code: "hub_unreachable",
      message: expect.stringContaining("429"),
    });
    expect(server.requests.length).toBe(requests);
  });

  it("is not waited for once the caller has had enough", async () => {
    busy(Infinity, 503, "250");
    const controller = new AbortController();
    const call = run({ signal: controller.signal, onProgress: () => controller.abort() });
    await expect(call).rejects.toMatchObject({ code: "aborted" });
    expect(server.requests.length).toBe(1);
  });
});
