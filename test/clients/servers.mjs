/** The servers that clients are tried on, each with a model of its own, on sockets. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { load } from "../../dist/index.js";
import { createServer, listen } from "../../dist/server/index.js";
import { TEXTS } from "./clients/schemas.mjs";

/** @param folder of `make-models.ts` */
export async function startServers(folder) {
  const started = [];
  const start = async (name) => {
    const records = [];
    const server = await createServer({
      model: join(folder, name),
      servedModelName: name,
      threads: 1,
      onRequest: (record) => records.push(record),
    });
    const listening = await listen(server, { host: "127.0.0.1", port: 0 });
    started.push({ server, listening });
    return { id: name, url: listening.url, baseURL: `${listening.url}/v1`, records };
  };
  const plain = await start("plain");
  const vectors = { ...(await start("vectors")), own: await vectorsOf(join(folder, "vectors")) };
  const endOfThoughts = Number(await readFile(join(folder, "thinking", "end-of-thoughts"), "utf8"));
  const thinking = { ...(await start("thinking")), fetch: endingThoughts(endOfThoughts) };
  return {
    plain,
    thinking,
    vectors,
    async close() {
      for (const { server, listening } of started) {
        await listening.close(0);
        await server.dispose();
      }
    },
  };
}

/** What the library makes of the texts. */
async function vectorsOf(model) {
  const lm = await load(model, { threads: 1 });
  const { embeddings } = await lm.embed(TEXTS);
  await lm.dispose();
  return embeddings.map((vector) => [...vector]);
}

/** `fetch`, with which the random model's thoughts come to an end, and always the same one. */
function endingThoughts(token) {
  return (url, init) => {
    const body = { ...JSON.parse(init.body), seed: 3, logit_bias: { [token]: 5 } };
    return fetch(url, { ...init, body: JSON.stringify(body) });
  };
}
