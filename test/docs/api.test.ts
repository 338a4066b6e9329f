/** Each request that docs/api.md shows is one that the server takes, with the embedded model and a template for chats. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { served } from "../server/served.js";

/** What the embedded model is not made for, or what is made up, as the request is told. */
const REFUSED: Readonly<Record<string, string>> = {
  "/v1/embeddings": "invalid_argument",
  "/v1/rerank": "model_unsupported",
  suffix: "model_unsupported",
  previous_response_id: "previous_response_not_found",
};

/** The same request for an answer of a few tokens. */
function brief(path: string, body: string): object {
  const asked = JSON.parse(body);
  if (/completions$/.test(path)) return { ...asked, max_tokens: 3 };
  return path === "/v1/responses" ? { ...asked, max_output_tokens: 3 } : asked;
}

test("the requests of docs/api.md", async () => {
  const text = await readFile(new URL("../../docs/api.md", import.meta.url), "utf8");
  const code = [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, lines]) => lines).join("\n");
  const requests = [
    ...code.matchAll(
      /^curl (?:-X (?<method>DELETE) )?localhost:8080(?<path>\/\S+)(?: --json '(?<body>[^']*)')?/gm,
    ),
  ];
  expect(requests.length).toBeGreaterThan(15);
  const saveDir = await mkdtemp(join(tmpdir(), "lastrow-docs-"));
  try {
    const chatTemplate = await readFile(new URL("../server/template.jinja", import.meta.url), "utf8");
    await using api = await served({ chatTemplate, saveDir });
    let id = "";
    for (const { groups } of requests) {
      const { method, body } = groups!;
      const path = groups!.path.replace("/ID", `/${id}`);
      const asked = `${method ?? ""} ${path} ${body ?? ""}`;
      const answer =
        method === "DELETE"
          ? await api.delete(path)
          : body === undefined
            ? await api.get(path)
            : await api.post(path, brief(path, body));
      const said = await answer.text();
      const refused = Object.keys(REFUSED).find((what) => path === what || body?.includes(`"${what}"`));
      if (refused === undefined) expect(answer.ok, `${asked}: ${said}`).toBe(true);
      else expect(JSON.parse(said).error.code, asked).toBe(REFUSED[refused]);
      if (path === "/v1/sequences" && body !== undefined) id = JSON.parse(said).id;
    }
    for (const { id: left } of (await (await api.get("/v1/sequences")).json()).data) {
      await api.delete(`/v1/sequences/${left}`);
    }
  } finally {
    await rm(saveDir, { recursive: true });
  }
}, 30_000);
