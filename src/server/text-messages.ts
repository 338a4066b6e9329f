/** What the server and its text thread say to each other. */
import type { ChatMessage, FoundTemplate, TemplateVariables } from "../chat/chat-template.js";
import type { EncodedChat } from "../chat/chat-template-engine.js";
import type { TemplateAbilities } from "../chat/template-abilities.js";
import type { TokenizerFiles } from "../tokenizer/tokenizer-files.js";
import type { CallFormatName } from "../tools/call-format.js";
import type { ToolDefinition } from "../tools/tool.js";

/** What the thread is made of. */
export interface TextThreadData {
  /** The model's tokenizer. */
  readonly tokenizer: TokenizerFiles;
  readonly vocabSize: number;
  readonly chatTemplate: FoundTemplate;
  /** How the model writes calls of tools; absent: as the template asks for them. */
  readonly toolFormat?: CallFormatName | undefined;
  /** Whether the template was given to the server: then one that cannot be parsed keeps it from starting. */
  readonly isTemplateGiven: boolean;
  /** Tokens that a prompt can have at most. */
  readonly contextLength: number;
  /** Milliseconds that rendering a conversation may take. */
  readonly renderMs: number;
}

/** A conversation as the model is asked it. */
export interface ChatPrompt extends EncodedChat {
  /** Tokens with which the template ends an answer. */
  readonly turnEnds: readonly number[];
}

export type TextTask =
  | {
      readonly kind: "encode";
      readonly text: string;
      /** What follows the middle that is asked for; null: the text is continued. */
      readonly suffix: string | null;
      readonly addSpecialTokens: boolean;
      readonly parseSpecial: boolean;
    }
  | {
      readonly kind: "chat";
      readonly messages: readonly ChatMessage[];
      readonly addGenerationPrompt: boolean;
      readonly continueLast: boolean;
      readonly tools: readonly ToolDefinition[];
      readonly variables: TemplateVariables;
    }
  | {
      readonly kind: "decode";
      readonly tokens: readonly number[];
      readonly skipSpecialTokens: boolean;
    };

/** What the thread answers: `ready` once, then one for each task, in order. */
export type TextAnswer =
  /** `noTemplate`: why there is none, in words that follow the model's name; null where there is one, which has `abilities`. */
  | {
      readonly kind: "ready";
      readonly noTemplate: string | null;
      readonly abilities: TemplateAbilities | null;
    }
  | { readonly kind: "tokens"; readonly tokens: number[] }
  | { readonly kind: "chat-prompt"; readonly prompt: ChatPrompt }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "error"; readonly code: string | null; readonly message: string };
