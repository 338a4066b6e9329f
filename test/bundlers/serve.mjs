/** Servers for what was built: a folder as any web host serves it, and Next.js. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".json": "application/json" };

/**
 * @param mounts other folders, by the path at which they are found
 * @returns where it is, what ends it, and the bytes of the scripts that were fetched, each compressed by gzip
 */
export async function serveFolder(folder, mounts) {
  const scripts = new Map();
  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url, "http://localhost").pathname);
    const mount = Object.keys(mounts).find((prefix) => path.startsWith(`${prefix}/`));
    const file =
      mount === undefined
        ? join(folder, path === "/" ? "index.html" : path)
        : join(mounts[mount], path.slice(mount.length));
    const bytes = await readFile(file).catch(() => null);
    if (extname(file) === ".js" && bytes !== null) scripts.set(file, gzipSync(bytes, { level: 9 }).length);
    if (bytes === null) response.writeHead(404).end();
    else
      response
        .writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" })
        .end(bytes);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    scriptBytes: () => [...scripts.values()].reduce((sum, bytes) => sum + bytes, 0),
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** Serves a built Next.js application at a free port. */
export async function serveNext(folder) {
  const probe = await serveFolder(folder, {});
  const { port } = new URL(probe.url);
  probe.close();
  const child = spawn(
    process.execPath,
    [join(folder, "node_modules/next/dist/bin/next"), "start", "--port", port, "--hostname", "127.0.0.1"],
    {
      cwd: folder,
      stdio: ["ignore", "ignore", "inherit"],
      env: { ...process.env, NEXT_TELEMETRY_DISABLED: "1" },
    },
  );
  const ended = once(child, "exit");
  const url = `http://127.0.0.1:${port}`;
  for (let tries = 0; ; tries++) {
    const isUp = await fetch(url).then(
      (response) => response.ok,
      () => false,
    );
    if (isUp) break;
    if (tries === 200 || child.exitCode !== null) throw new Error("Next.js does not answer");
    await sleep(200);
  }
  return {
    url,
    async close() {
      child.kill();
      await ended;
    },
  };
}
