/** `lastrow serve` as a process: how it begins, how it ends, and what slow, idle and huge clients do to it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { events } from "../server/served.js";
import { soon } from "../soon.js";
import { complete, endAll, endLater, MAIN, metric, start, startIn } from "./serve-process.js";

afterEach(endAll);

/** A connection, and all that came over it until it ended. */
async function talk(port: number, write: (socket: Socket) => void): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  const chunks: Buffer[] = [];
  socket.on("data", (chunk) => chunks.push(chunk));
  socket.on("error", () => undefined);
  await once(socket, "connect");
  const closed = new Promise((resolve) => socket.once("close", resolve));
  write(socket);
  await closed;
  return Buffer.concat(chunks).toString();
}

describe("ends", () => {
  test("on SIGTERM, when twenty streams have come to their end", async () => {
    const { child, url, log } = await start();
    const streams = await Promise.all(
      Array.from({ length: 20 }, (_, seed) => complete(url, { seed, max_tokens: 60, stream: true })),
    );
    const exit = once(child, "exit");
    child.kill("SIGTERM");
    for (const { chunks, isDone } of await Promise.all(streams.map(events))) {
      expect(isDone).toBe(true);
      expect(chunks.at(-1).choices[0].finish_reason).toBe("length");
    }
    // A connection that is still open hears that it is too late; a new one is not taken.
    const late = await complete(url, { max_tokens: 1 }).catch(() => null);
    expect(late?.status ?? 503).toBe(503);
    expect(await exit).toEqual([0, null]);
    const lines = log.map((line) => JSON.parse(line));
    expect(lines.filter(({ msg, stream }) => msg === "request" && stream)).toHaveLength(20);
    expect(lines.at(-1).msg).toBe("Done.");
    expect(log.join()).not.toMatch(/Once upon/);
  });

  test("after --drain-seconds at the latest, and at once on a second signal", async () => {
    const long = { max_tokens: 500, n: 16, stream: true };
    const first = await start("--drain-seconds", "0.2");
    const cut = await complete(first.url, long);
    const exit = once(first.child, "exit");
    first.child.kill("SIGTERM");
    await expect(cut.text()).rejects.toThrow();
    expect(await exit).toEqual([0, null]);
    const second = await start("--drain-seconds", "600");
    const held = await complete(second.url, long);
    const ended = once(second.child, "exit");
    second.child.kill("SIGTERM");
    await new Promise((resolve) => setTimeout(resolve, 100));
    second.child.kill("SIGTERM");
    await expect(held.text()).rejects.toThrow();
    expect(await ended).toEqual([143, null]);
  });
});

describe("whose terminal or reader is gone", () => {
  test("SIGHUP ends it without a file of keys, and reads the file anew with one", async () => {
    const open = await start();
    const exit = once(open.child, "exit");
    open.child.kill("SIGHUP");
    expect(await exit).toEqual([null, "SIGHUP"]);

    const folder = await mkdtemp(join(tmpdir(), "lastrow-keys-"));
    try {
      const keys = join(folder, "keys.txt");
      await writeFile(keys, `one ${"k".repeat(40)}\n`);
      const kept = await start("--api-keys", keys);
      kept.child.kill("SIGHUP");
      await soon(() => expect(kept.log.join()).toMatch(/Keys read again: 1/));
      const end = once(kept.child, "exit");
      kept.child.kill("SIGTERM");
      expect(await end).toEqual([0, null]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("SIGTERM after the terminal was closed ends it in order", async () => {
    const folder = await mkdtemp(join(tmpdir(), "lastrow-terminal-"));
    try {
      const keys = join(folder, "keys.txt");
      await writeFile(keys, `one ${"k".repeat(40)}\n`);
      const serve = `"${process.execPath}" "${MAIN}" serve --port 0 --threads 1 --api-keys "${keys}"`;
      // The shell outlives the terminal, and notes how the server ended.
      const shell = join(folder, "run.sh");
      await writeFile(
        shell,
        `trap '' HUP\n${serve} &\necho $! > "${folder}/pid"\nwait $!\necho $? > "${folder}/code"\n`,
      );
      const terminal = spawn("script", ["-qfc", `sh "${shell}"`, "/dev/null"], {
        stdio: ["pipe", "pipe", "inherit"],
        env: { ...process.env, TERM: "dumb" },
      });
      endLater(terminal);
      let shown = "";
      terminal.stdout.on("data", (chunk) => {
        shown += chunk;
      });
      await soon(() => expect(shown).toMatch(/curl http/));
      const pid = Number(await readFile(join(folder, "pid"), "utf8"));
      const exit = once(terminal, "exit");
      terminal.kill("SIGKILL");
      await exit;
      process.kill(pid, "SIGTERM");
      const code = await soon(async () => {
        const text = await readFile(join(folder, "code"), "utf8");
        expect(text).toMatch(/\n/);
        return text.trim();
      });
      expect(code).toBe("0");
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("a reader of the log that stands still costs no memory, and the end does not wait for it", async () => {
    const child = spawn(process.execPath, [MAIN, "serve", "--port", "0", "--threads", "1"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    endLater(child);
    let shown = "";
    child.stdout.on("data", (chunk) => {
      shown += chunk;
    });
    const url = await soon(() => {
      const found = /http:\/\/[\d.]+:\d+/.exec(shown);
      expect(found).not.toBeNull();
      return found![0];
    });
    // What it says of its page is true, whether that was built or not.
    expect(shown.includes(`Talk to it         ${url}/\n`)).toBe((await fetch(`${url}/`)).status === 200);
    // Some 400 bytes a line: 8,000 of them are three times what is kept, and the pipe's 64 kB are full long before.
    const flood = async (requests: number) => {
      for (let i = 0; i < requests; i += 100) {
        await Promise.all(Array.from({ length: 100 }, async () => (await fetch(`${url}/health`)).text()));
      }
    };
    await flood(4000);
    const settled = await metric(url, "process_resident_memory_bytes");
    await flood(8000);
    expect((await metric(url, "process_resident_memory_bytes")) - settled).toBeLessThan(30e6);
    const exit = once(child, "exit");
    child.kill("SIGTERM");
    expect(await exit).toEqual([0, null]);
  });
});

test("a full disk at save: an error, and it goes on", async () => {
  const folder = await mkdtemp(join(tmpdir(), "lastrow-disk-"));
  try {
    // Files may have a kilobyte at most (two blocks of 512 bytes).
    const { url } = await startIn({ by: ["sh", "-c", 'ulimit -f 2; exec "$@"', "sh"] }, "--save-dir", folder);
    const post = async (path: string, body: object) =>
      fetch(`${url}${path}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      });
    const { id } = await (await post("/v1/sequences", { prompt: "Once upon a time" })).json();
    const answer = await post(`/v1/sequences/${id}/save`, { name: "full" });
    expect(answer.status).toBe(507);
    expect((await answer.json()).error.code).toBe("not_saved");
    expect((await post(`/v1/sequences/${id}/append`, { prompt: " there" })).status).toBe(200);
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    const left = entries.filter((entry) => entry.isFile()).map(({ name }) => name);
    expect(left).toEqual(["cache-secret"]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

describe("does not start", () => {
  const refused = async (...args: string[]) => {
    const child = spawn(process.execPath, [MAIN, "serve", "--port", "0", ...args], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    endLater(child);
    let said = "";
    child.stderr.on("data", (chunk) => {
      said += chunk;
    });
    const [code] = await once(child, "exit");
    return { code, said };
  };

  test("for others without keys, with a file that has none, with a limit that is none", async () => {
    const open = await refused("--host", "0.0.0.0");
    expect(open.code).toBe(1);
    expect(open.said).toMatch(/--api-keys FILE, or --insecure/);
    expect((await refused("--api-keys", "/nowhere")).said).toMatch(/cannot be read/);
    expect((await refused("--max-queue", "-1")).said).toMatch(/--max-queue/);
  });
});

describe("goes on", () => {
  test("though clients send headers and nothing more, half a header, or a body without end", async () => {
    const { url, port } = await start("--header-timeout", "0.5", "--body-timeout", "1");
    const post = "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    const [noBody, halfHeader, nothing, huge, announced] = await Promise.all([
      talk(port, (socket) => socket.write(`${post}content-length: 10\r\n\r\n{`)),
      talk(port, (socket) => socket.write("POST /v1/comp")),
      talk(port, () => undefined),
      talk(port, (socket) => {
        socket.write(`${post}transfer-encoding: chunked\r\n\r\n`);
        // A gigabyte, as fast as it is taken.
        const chunk = Buffer.alloc(1 << 20, 0x20);
        let left = 1024;
        const pump = () => {
          while (left > 0 && socket.writable) {
            left -= 1;
            socket.write(`${chunk.length.toString(16)}\r\n`);
            socket.write(chunk);
            if (!socket.write("\r\n")) {
              socket.once("drain", pump);
              return;
            }
          }
        };
        pump();
      }),
      talk(port, (socket) => socket.write(`${post}content-length: 1000000000\r\n\r\n`)),
    ]);
    for (const answer of [noBody, halfHeader, nothing]) {
      expect(answer).toMatch(/^HTTP\/1.1 408 /);
      expect(answer).toMatch(/request_timeout/);
    }
    for (const answer of [huge, announced]) {
      expect(answer).toMatch(/^HTTP\/1.1 413 /);
      expect(answer).toMatch(/request_too_large/);
    }
    expect((await complete(url, { max_tokens: 1 })).status).toBe(200);
    expect(await metric(url, "process_resident_memory_bytes")).toBeLessThan(400e6);
  });

  test("with ten thousand idle connections from another process", async () => {
    const { url, port } = await start("--header-timeout", "60");
    const others = spawn(
      process.execPath,
      [
        "-e",
        `const { connect } = require("node:net");
         let begun = 0;
         let open = 0;
         const more = () => {
           if (begun === 10000) return;
           begun += 1;
           connect(${port}, "127.0.0.1")
             .on("connect", () => {
               open += 1;
               more();
               if (open === 10000) process.stdout.write("open\\n");
             })
             .on("error", (error) => {
               process.stdout.write(error.code + "\\n");
               process.exit(1);
             });
         };
         for (let i = 0; i < 200; i++) more();`,
      ],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    endLater(others);
    const [said] = await once(others.stdout!, "data");
    expect(String(said)).toBe("open\n");
    const answer = await complete(url, { max_tokens: 4, stream: true });
    expect((await events(answer)).isDone).toBe(true);
    others.kill("SIGKILL");
    expect((await complete(url, { max_tokens: 1 })).status).toBe(200);
  });
});
