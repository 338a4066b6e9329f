/** Models behind web addresses, as a page loads them, from a server on loopback. */
import { readFile } from "node:fs/promises";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, test } from "vitest";
import { modelFolders } from "../../test/fixture-models.js";
import { LastrowError, load } from "../index.js";
import { stories } from "../stories.js";
import { platform as browserPlatform } from "./browser.js";
import { threads as browser } from "./browser-threads.js";
import { openAddress } from "./url-files.js";

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

async function serve(listener: RequestListener): Promise<string> {
  const started = createServer(listener);
  server = started;
  await new Promise<void>((resolve) => started.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(started.address() as AddressInfo).port}/models/tiny`;
}

/** Serves the files of a folder under /models/tiny/, changed as `change` says. */
function folderListener(
  change: (name: string, bytes: Buffer) => { bytes: Buffer; headers?: Record<string, string> },
): RequestListener {
  return async (request, response) => {
    const name = request.url?.replace("/models/tiny/", "") ?? "";
    const found = await readFile(`${modelFolders.tiny}/${name}`).catch(() => null);
    if (found === null) {
      response.writeHead(404).end();
      return;
    }
    const { bytes, headers } = change(name, found);
    response.writeHead(200, { "content-length": bytes.length, ...headers }).end(bytes);
  };
}

async function tinyLogits(source: Parameters<typeof load>[0]) {
  const lm = await load(source);
  const { logits } = await lm.logits([1, 2, 3]);
  await lm.dispose();
  return logits;
}

describe("a web address", () => {
  test("gives the same model as the folder", async () => {
    const address = await serve(folderListener((_, bytes) => ({ bytes })));
    const expected = await tinyLogits(modelFolders.tiny);
    expect(await tinyLogits(address)).toEqual(expected);
    expect(await tinyLogits(new URL(`${address}/`))).toEqual(expected);
    const files = await browserPlatform.openModel(address, {});
    expect(files.label).toBe(address);
    expect(await tinyLogits(files)).toEqual(expected);
  });

  test("finds what lies in a folder of it", async () => {
    const asked: (string | undefined)[] = [];
    const address = await serve(({ url }, response) => {
      asked.push(url);
      response.writeHead(200, { "content-length": 2 }).end("{}");
    });
    const files = await browserPlatform.openModel(address, {});
    for (const name of ["1_Pooling/config.json", "a b.json"]) await (await files.open(name))?.close();
    expect(asked).toEqual(["/models/tiny/1_Pooling/config.json", "/models/tiny/a%20b.json"]);
  });

  test("works when the host compresses", async () => {
    const address = await serve(
      folderListener((_, bytes) => ({ bytes: gzipSync(bytes), headers: { "content-encoding": "gzip" } })),
    );
    expect(await tinyLogits(address)).toEqual(await tinyLogits(modelFolders.tiny));
  });

  test("takes a page in place of a missing file for what it is", async () => {
    const found = folderListener((_, bytes) => ({ bytes }));
    const address = await serve((request, response) => {
      if (request.url?.endsWith("config.json") && !request.url.includes("generation"))
        found(request, response);
      else if (request.url?.endsWith(".safetensors")) found(request, response);
      else response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end("<!doctype html>");
    });
    expect(await tinyLogits(address)).toEqual(await tinyLogits(modelFolders.tiny));
  });

  test("that breaks off in the middle is an error that names the byte", async () => {
    const address = await serve((request, response) => {
      if (!request.url?.endsWith("model.safetensors")) {
        folderListener((_, bytes) => ({ bytes }))(request, response);
        return;
      }
      readFile(`${modelFolders.tiny}/model.safetensors`).then((bytes) => {
        response.writeHead(200, { "content-length": bytes.length });
        response.write(bytes.subarray(0, 40000), () => response.destroy());
      });
    });
    const error = await load(address).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(LastrowError);
    expect((error as LastrowError).message).toMatch(/model\.safetensors/);
  });

  test("that answers with an error, or not at all, says so", async () => {
    const address = await serve((_, response) => response.writeHead(500).end());
    await expect(load(address)).rejects.toMatchObject({
      code: "model_not_found",
      message: expect.stringMatching(/status 500/),
    });
    server?.close();
    server?.closeAllConnections();
    await expect(load(address)).rejects.toMatchObject({
      code: "model_not_found",
      message: expect.stringMatching(/could not be fetched: fetch failed \(.+\)\./),
    });
  });

  test("can be cancelled while it loads", async () => {
    const controller = new AbortController();
    const address = await serve((request, response) => {
      if (request.url?.endsWith("config.json")) folderListener((_, bytes) => ({ bytes }))(request, response);
      else controller.abort();
    });
    await expect(load(address, { signal: controller.signal })).rejects.toMatchObject({ code: "aborted" });
  });
});

describe("a file that arrives", () => {
  const SIZE = 3_000_000;
  const whole = Uint8Array.from({ length: SIZE }, (_, i) => (i * 2_654_435_761) >>> 24);

  /** A file of pieces of some sizes; counts those that were written into memory of the reader's. */
  async function arriving(type: "bytes" | undefined) {
    let [sent, pieces, given] = [0, 0, 0];
    const next = (most: number) => {
      pieces += 1;
      const piece = whole.subarray(sent, sent + Math.min(most, 1 + ((pieces * 77_777) % 300_000)));
      sent += piece.length;
      return piece;
    };
    const body =
      type === "bytes"
        ? new ReadableStream({
            type,
            pull(controller: ReadableByteStreamController) {
              const view = controller.byobRequest?.view as Uint8Array<ArrayBuffer> | null | undefined;
              const piece = next(view?.byteLength ?? SIZE);
              if (view == null) controller.enqueue(piece.slice());
              else {
                given += 1;
                view.set(piece);
                controller.byobRequest?.respond(piece.length);
              }
              if (sent === SIZE) controller.close();
            },
          })
        : new ReadableStream<Uint8Array>({
            pull(controller) {
              controller.enqueue(next(SIZE));
              if (sent === SIZE) controller.close();
            },
          });
    const headers = { "content-length": String(SIZE) };
    const file = await openAddress("file", new URL("http://host/file"), {
      fetch: async () => new Response(body as ReadableStream<Uint8Array<ArrayBuffer>>, { headers }),
    });
    return { file: file!, counts: () => ({ pieces, given }) };
  }

  test.each([undefined, "bytes"] as const)(
    "from a stream of type %s has all bytes in their places",
    async (type) => {
      const { file, counts } = await arriving(type);
      const read: Uint8Array[] = [];
      for (let [offset, i] = [0, 0]; offset < SIZE; i++) {
        // Some are passed over, as what no tensor is in.
        const length = Math.min(1 + ((i * 54_321) % 700_000), SIZE - offset);
        const target = new Uint8Array(length);
        await file.read(offset, target);
        read.push(target);
        expect(Buffer.compare(target, whole.subarray(offset, offset + length))).toBe(0);
        offset += length + (i % 3);
      }
      await file.close();
      const { pieces, given } = counts();
      expect(pieces).toBeGreaterThan(10);
      expect(given).toBe(type === "bytes" ? pieces : 0);
    },
  );
});

describe("a GGUF file's address", () => {
  test.each([
    ["m.gguf", ["m.gguf"], ["/models/tiny/m.gguf"]],
    ["m.gguf?download=true#top", ["m.gguf"], ["/models/tiny/m.gguf?download=true"]],
    ["a%20m.gguf", ["a m.gguf"], ["/models/tiny/a%20m.gguf"]],
    [
      "m-00002-of-00002.gguf?key=1",
      ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"],
      ["/models/tiny/m-00001-of-00002.gguf?key=1", "/models/tiny/m-00002-of-00002.gguf?key=1"],
    ],
  ])("%s is that file, and its shards beside it", async (end, names, asked) => {
    const requested: unknown[] = [];
    const address = await serve((request, response) => {
      requested.push(request.url);
      response.writeHead(200, { "content-length": 4 }).end("GGUF");
    });
    for (const source of [`${address}/${end}`, new URL(`${address}/${end}`)]) {
      requested.length = 0;
      const files = await browserPlatform.openModel(source, {});
      expect(files.label).toBe(`${address}/${end}`);
      expect(files.gguf).toEqual(names);
      for (const name of names) await (await files.open(name))?.close();
      expect(requested).toEqual(asked);
      expect(await files.open("config.json")).toBeNull();
    }
  });
});

describe("other sources", () => {
  test("a list of files, as a file input gives them", async () => {
    const files = [];
    for (const name of ["model.safetensors", "config.json"])
      files.push(new File([await readFile(`${modelFolders.tiny}/${name}`)], name));
    expect(await tinyLogits(files)).toEqual(await tinyLogits(modelFolders.tiny));
    await expect(load([])).rejects.toMatchObject({ code: "model_not_found" });
  });

  test("an object of addresses: the embedded model by its own", async () => {
    const lm = await load(stories);
    expect(lm.promptTokens("Once upon a time")).toEqual([0, 420, 428, 259, 394]);
    await lm.dispose();
  });

  test("an object of addresses with a GGUF file", async () => {
    const address = await serve((_, response) =>
      response.writeHead(200, { "content-length": 4 }).end("GGUF"),
    );
    const files = await browserPlatform.openModel({ "m.gguf": `${address}/1234` }, {});
    expect(files.gguf).toEqual(["m.gguf"]);
    const file = await files.open("m.gguf");
    expect(file?.name).toBe(`${address}/1234`);
    await file?.close();
  });

  test("a browser has no model of its own, and says where there is one", async () => {
    await expect(browserPlatform.openModel(undefined, {})).rejects.toMatchObject({
      code: "model_not_found",
      message: expect.stringMatching(/lastrow\/stories/),
    });
  });

  test("the browser's turn in the event loop comes", async () => {
    let timer = false;
    setTimeout(() => {
      timer = true;
    }, 0);
    while (!timer) await browser.yieldToEventLoop();
    expect(timer).toBe(true);
  });
});
