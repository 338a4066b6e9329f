/** Schemas and tools that are too long are refused where a body is checked, before another thread is handed them, by every route. */
import { expect, test } from "vitest";
import { settleLimits } from "../limits.js";
import { parseBody } from "../request-body.js";
import { requestSchemas } from "./requests.js";

const schemas = requestSchemas({ limits: settleLimits(), contextLength: 512 });
const long = { type: "object", title: "x".repeat(262_144) };
const half = { type: "object", title: "x".repeat(150_000) };
const named = (parameters: object) => [
  { type: "function", name: "a", function: { name: "a", parameters }, parameters },
  { type: "function", name: "b", function: { name: "b", parameters }, parameters },
];
const ofAnthropic = (input_schema: object) => [
  { name: "a", input_schema },
  { name: "b", input_schema },
];
const chat = { model: "m", max_tokens: 1, messages: [{ role: "user", content: "x" }] };
const answer = { model: "m", input: "x" };

type Refused = [path: string, body: object, param: string | null];

test.each<Refused>([
  ...["/v1/completions", "/v1/chat/completions"].flatMap((path): Refused[] => {
    const body = path === "/v1/completions" ? { prompt: "x" } : chat;
    return [
      [
        path,
        { ...body, response_format: { type: "json_schema", json_schema: { schema: long } } },
        "response_format.json_schema.schema",
      ],
      [path, { ...body, response_format: { type: "json_object", schema: long } }, "response_format.schema"],
      [path, { ...body, structured_outputs: { json: long } }, "structured_outputs.json"],
      [path, { ...body, guided_json: JSON.stringify(long) }, "guided_json"],
      [path, { ...body, json_schema: long }, "json_schema"],
      [path, { ...body, json_schema: half, structured_outputs: { json: half } }, null],
    ];
  }),
  ["/v1/chat/completions", { ...chat, tools: named(long) }, "tools.0.function.parameters"],
  ["/v1/chat/completions", { ...chat, tools: named(half) }, "tools"],
  [
    "/v1/responses",
    { ...answer, text: { format: { type: "json_schema", schema: long } } },
    "text.format.schema",
  ],
  ["/v1/responses", { ...answer, tools: named(half) }, "tools"],
  ["/v1/messages", { ...chat, tools: ofAnthropic(long) }, "tools.0.input_schema"],
  ["/v1/messages", { ...chat, tools: ofAnthropic(half) }, "tools"],
  ["/v1/messages", { ...chat, output_format: { type: "json_schema", schema: long } }, "output_format.schema"],
  ["/api/chat", { ...chat, format: long }, "format"],
  ["/api/chat", { ...chat, tools: named(half) }, "tools"],
  ["/api/generate", { model: "m", prompt: "x", format: long }, "format"],
])("%s: %#", (path, body, param) => {
  const bytes = new TextEncoder().encode(JSON.stringify(body));
  expect(() => parseBody(bytes, schemas.get(path)!)).toThrow(
    expect.objectContaining({
      ...{ status: 400, code: "invalid_argument", param },
      message: expect.stringContaining("262144 characters"),
    }),
  );
});
