/** Tools and calls in requests and answers of chats, in OpenAI's form. */
import { z } from "@hono/zod-openapi";
import { MAX_TOOLS } from "../../tools/tool.js";
import { list } from "./first-wrong.js";
import { boundedTools, jsonSchema } from "./structure.js";

const onlyFunctions = (what: string) =>
  z.literal("function", { error: `${what} of type function are supported` });

/** A call in an earlier message. */
export const toolCallMessage = z
  .object({
    id: z.string(),
    type: onlyFunctions("only calls").optional(),
    function: z.object({
      name: z.string(),
      arguments: z.string().openapi({ description: "JSON of an object." }),
    }),
  })
  .openapi("ToolCallMessage");

const tool = z
  .object({
    type: onlyFunctions("only tools"),
    function: z.object({
      name: z.string(),
      description: z.string().nullish(),
      parameters: jsonSchema()
        .optional()
        .openapi({ description: "A JSON Schema of the object that it takes." }),
      strict: z
        .boolean()
        .nullish()
        .openapi({ description: "The arguments of every call fit their schema: no matter." }),
    }),
  })
  .openapi("Tool");

/** What the model may call: a part of the prompt. */
export function toolsField() {
  return list(tool, {
    most: MAX_TOOLS,
    tooLong: (length) => ({
      code: "invalid_request",
      message: `tools has ${length} tools; the most are ${MAX_TOOLS}`,
    }),
  })
    .superRefine(boundedTools)
    .nullish()
    .openapi({ description: "Functions that the model may call, for models whose template knows tools." });
}

/** How it calls. */
export function toolChoiceFields() {
  return {
    tool_choice: z
      .union(
        [
          z.enum(["none", "auto", "required"]),
          z.object({ type: z.literal("function"), function: z.object({ name: z.string() }) }),
        ],
        {
          error: 'tool_choice is none, auto, required or {"type": "function", "function": {"name": …}}',
        },
      )
      .nullish()
      .openapi({ description: "Default auto: as the model likes." }),
    parallel_tool_calls: z
      .boolean()
      .nullish()
      .openapi({ description: "Whether an answer may have several calls; default true." }),
  };
}

const toolChoiceObject = () => z.object(toolChoiceFields());

export type ToolChoiceBody = z.infer<ReturnType<typeof toolChoiceObject>>;

/** Calls of an answer. */
export const toolCallsResponse = z.array(
  z.object({
    id: z.string(),
    type: z.literal("function"),
    function: z.object({ name: z.string(), arguments: z.string() }),
  }),
);
