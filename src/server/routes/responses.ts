/** `/v1/responses`: OpenAI's newer API of conversations, made of items, which the server keeps if it is to. */
import { ApiError } from "../api-error.js";
import { chatPrompt, prepareChat } from "../chat-generation.js";
import { ResponseAnswer } from "../responses/response-answer.js";
import { responseAsk, responsePromptAsk } from "../responses/response-ask.js";
import { conversationItems } from "../responses/response-items.js";
import {
  inputTokensRequest,
  inputTokensResponse,
  responseBody,
  responseRequest,
} from "../schemas/responses.js";
import { type Service, streamAnswer } from "../service.js";
import { type App, jsonText, route, routeWithBody } from "./routing.js";
import { addStoredResponses } from "./stored-responses.js";

export function addResponses(app: App, service: Service): void {
  const { limits, responses } = service;
  routeWithBody(
    app,
    {
      method: "post",
      path: "/v1/responses",
      operation: "chat",
      summary: "Answer a conversation made of items.",
      body: responseRequest(limits),
      response: responseBody,
      streams: true,
    },
    service,
    async (context, body) => {
      const exchange = context.get("exchange");
      const principal = exchange.principal!;
      const model = await service.model(body.model, exchange);
      const input = conversationItems(body, responses, principal, limits);
      const ask = responseAsk(
        model,
        exchange,
        body,
        input.map(({ json }) => JSON.parse(json)),
      );
      const chat = await prepareChat(service, model, exchange, ask);
      const answer = new ResponseAnswer(service.newId("resp"), model, body, input);
      const keep = () => {
        if (answer.isStored) responses.keep(principal, answer.stored());
      };
      if (body.stream !== true) {
        const finished = await chat.run((_, piece) => answer.output.piece(piece));
        answer.end(finished, (kept) => responses.fits(kept));
        keep();
        return jsonText(context, answer.json);
      }
      const { events } = answer;
      return streamAnswer(
        service,
        exchange,
        async (send) => {
          events.sendTo(send);
          const finished = await chat.run((_, piece) => {
            answer.begin();
            answer.output.piece(piece);
          });
          answer.begin();
          answer.end(finished, (kept) => responses.fits(kept));
          keep();
          answer.tellEnd();
        },
        events.form,
      );
    },
  );
  routeWithBody(
    app,
    {
      method: "post",
      path: "/v1/responses/input_tokens",
      summary: "Tokens of the conversation of a response.",
      body: inputTokensRequest(limits),
      wants: "text",
      response: inputTokensResponse,
    },
    service,
    async (context, body) => {
      const exchange = context.get("exchange");
      const model = await service.model(body.model, exchange);
      const items = conversationItems(body, responses, exchange.principal!, limits);
      const ask = responsePromptAsk(
        model,
        body,
        items.map(({ json }) => JSON.parse(json)),
      );
      const { tokens } = await chatPrompt(model, exchange, ask);
      return context.json({ object: "response.input_tokens", input_tokens: tokens.length });
    },
  );
  const compact = "This server does not compact conversations: leave out the items that are to be forgotten.";
  route(
    app,
    {
      ...{ method: "post", path: "/v1/responses/compact", response: "none" },
      summary: `OpenAI's; refused: ${compact}`,
    },
    () => {
      throw new ApiError(404, "not_found", compact);
    },
  );
  addStoredResponses(app, service);
}
