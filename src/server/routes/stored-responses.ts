/** `/v1/responses/{id}`: responses that are kept for the key that asked for them. */
import { ApiError } from "../api-error.js";
import { responseNotFound, type StoredItem, type StoredResponse } from "../responses/stored-responses.js";
import { deletedResponse, responseBody, responseItems, responseParams } from "../schemas/responses.js";
import type { Service } from "../service.js";
import { type App, type AppContext, jsonText, route } from "./routing.js";

const ONE = "/v1/responses/{id}";

export function addStoredResponses(app: App, { responses }: Service): void {
  const idOf = (context: AppContext) => context.req.param("id") ?? "";
  const found = (context: AppContext): StoredResponse => {
    const response = responses.find(context.get("exchange").principal!, idOf(context));
    if (response === null) throw responseNotFound(idOf(context));
    return response;
  };
  const details = { path: ONE, params: responseParams };
  route(
    app,
    { ...details, method: "get", summary: "A stored response.", response: responseBody },
    (context) => {
      if (context.req.query("stream") === "true") {
        throw new ApiError(
          400,
          "invalid_request",
          "stream is not supported by this server for a response that is stored: ask for it whole.",
          { param: "stream" },
        );
      }
      return jsonText(context, found(context).body);
    },
  );
  route(
    app,
    { ...details, method: "delete", summary: "Forget a stored response.", response: deletedResponse },
    (context) => {
      const id = idOf(context);
      if (!responses.delete(context.get("exchange").principal!, id)) throw responseNotFound(id);
      return context.json({ id, object: "response", deleted: true });
    },
  );
  route(
    app,
    {
      ...{ method: "get", path: `${ONE}/input_items`, params: responseParams },
      summary: "What a stored response answered.",
      response: responseItems,
    },
    (context) => jsonText(context, pageOf(found(context).input, context)),
  );
}

/** Most items of a page, and how many there are if nothing else is asked for. */
const MOST_ITEMS = 100;
const USUAL_ITEMS = 20;

/** A page of items, the newest first, as OpenAI has it. */
function pageOf(items: readonly StoredItem[], context: AppContext): string {
  const { limit = String(USUAL_ITEMS), order = "desc", after } = context.req.query();
  const refused = (param: string, message: string) =>
    new ApiError(400, "invalid_request", message, { param });
  const most = /^\d{1,3}$/.test(limit) ? Number(limit) : 0;
  if (most < 1 || most > MOST_ITEMS) throw refused("limit", `limit is a number from 1 to ${MOST_ITEMS}.`);
  if (order !== "asc" && order !== "desc") throw refused("order", "order is asc or desc.");
  const shown = items.map(({ json }) => ({ json, id: (JSON.parse(json) as { readonly id: string }).id }));
  if (order === "desc") shown.reverse();
  const before = after === undefined ? -1 : shown.findIndex(({ id }) => id === after);
  if (after !== undefined && before === -1) throw refused("after", "after is the id of an item of the list.");
  const page = shown.slice(before + 1, before + 1 + most);
  const rest = {
    first_id: page[0]?.id ?? null,
    last_id: page.at(-1)?.id ?? null,
    has_more: before + 1 + most < shown.length,
  };
  const data = page.map(({ json }) => json).join(",");
  return `{"object":"list","data":[${data}],${JSON.stringify(rest).slice(1)}`;
}
