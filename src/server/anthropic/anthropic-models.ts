/** Served models as Anthropic's API lists them, page by page. */
import type { z } from "@hono/zod-openapi";
import { ApiError } from "../api-error.js";
import type { anthropicModelListSchema, anthropicModelSchema } from "../schemas/messages.js";

/** What is told of a model. */
interface Listed {
  readonly id: string;
  /** Unix seconds. */
  readonly created: number;
  readonly contextLength: number;
}

/** Models of a page where nothing is said, and most of them. */
const PAGE = 20;
const MOST = 1000;

export function anthropicModel({ id, created, contextLength }: Listed): z.infer<typeof anthropicModelSchema> {
  return {
    type: "model",
    id,
    display_name: id,
    created_at: new Date(created * 1000).toISOString(),
    max_input_tokens: contextLength,
    max_tokens: contextLength,
  };
}

/**
 * A page of them: the first ones, those behind `after_id`, or those before `before_id`.
 * @throws ApiError 400 for a limit that is none; 404 for an id that is none
 */
export function anthropicModelList(
  models: readonly Listed[],
  { limit = String(PAGE), after_id: after, before_id: before }: Readonly<Record<string, string>>,
): z.infer<typeof anthropicModelListSchema> {
  const count = /^\d{1,4}$/.test(limit) ? Number(limit) : 0;
  if (count < 1 || count > MOST) {
    throw new ApiError(400, "invalid_request", `limit is a whole number from 1 to ${MOST}.`, {
      param: "limit",
    });
  }
  const placeOf = (id: string, param: string) => {
    const place = models.findIndex((model) => model.id === id);
    if (place >= 0) return place;
    throw new ApiError(404, "model_not_found", `${param} is the id of no model of this server.`, { param });
  };
  const from = after === undefined ? 0 : placeOf(after, "after_id") + 1;
  const to = before === undefined ? models.length : placeOf(before, "before_id");
  const isBackwards = before !== undefined;
  const some = models.slice(from, to);
  const page = isBackwards ? some.slice(-count) : some.slice(0, count);
  return {
    data: page.map(anthropicModel),
    has_more: page.length < some.length,
    first_id: page[0]?.id ?? null,
    last_id: page.at(-1)?.id ?? null,
  };
}
