/** The words of the page to talk, in the language that was chosen. */
import { LanguageChoice } from "../src/language/language-choice.svelte.ts";
import type { AnswerCost } from "./server-api.ts";

const en = {
  title: "Talk to the model",
  skip: "Skip to the conversation",
  toLanguage: "中文",
  toLanguageLabel: "中文：切换语言",
  toLight: "Light page",
  toDark: "Dark page",
  explorer: "Why the cache works",
  model: "Model",
  newChat: "New chat",
  settings: "Settings",
  system: "System prompt",
  systemHint: "What the model is told before everything else.",
  temperature: "Temperature",
  temperatureHint: "Empty: the model's own. 0: always the likeliest token.",
  key: "API key",
  keyHint:
    "This server asks for a key. It stays in this page's memory and is forgotten when the page is closed.",
  useKey: "Use this key",
  conversation: "Conversation",
  you: "You",
  theModel: "Model",
  welcome: "Say something.",
  about: (model: string) =>
    `You talk to ${model} on this server. What was said before comes out of its KV cache: only what is new is computed, and the answer has the same bits.`,
  continuing: (model: string) =>
    `${model} has no form for chats: it goes on with your text, as it was trained to.`,
  placeholder: "Message",
  placeholderText: "Begin a text",
  send: "Send",
  stop: "Stop",
  keys: "Enter sends, Shift + Enter begins a line, Esc stops",
  thinking: "Thinking …",
  thoughts: "Thoughts",
  waiting: "The model reads …",
  writing: "The model writes …",
  answered: "The answer is there.",
  nothing: "The answer is empty.",
  edit: "Edit",
  copy: "Copy",
  copied: "Copied",
  retry: "Ask again",
  tryAgain: "Try again",
  ends: {
    length: "length limit",
    stopped: "stopped",
    lost: "broke off",
  } as Readonly<Record<string, string>>,
  cost: ({ promptTokens, cachedTokens, newTokens, tokensPerSecond }: AnswerCost) => [
    `${cachedTokens} of ${promptTokens} tokens from the cache`,
    `${newTokens} new`,
    ...(tokensPerSecond > 0 ? [`${tokensPerSecond.toFixed(1)} tokens/s`] : []),
  ],
  notReached: "The server was not reached, or its answer broke off. Is it still running?",
  wait: (seconds: number) => `The server says: try again in ${seconds} s.`,
};

type Words = typeof en;

const zh: Words = {
  title: "与模型对话",
  skip: "跳到对话",
  toLanguage: "EN",
  toLanguageLabel: "EN: change the language",
  toLight: "浅色页面",
  toDark: "深色页面",
  explorer: "缓存为何成立",
  model: "模型",
  newChat: "新对话",
  settings: "设置",
  system: "系统提示",
  systemHint: "在一切之前告诉模型的话。",
  temperature: "温度",
  temperatureHint: "留空：模型自己的值。0：总取最可能的 token。",
  key: "API 密钥",
  keyHint: "这台服务器要求密钥。密钥只在本页内存中，关闭页面即被忘记。",
  useKey: "使用这个密钥",
  conversation: "对话",
  you: "你",
  theModel: "模型",
  welcome: "说点什么吧。",
  about: (model) =>
    `你正在与这台服务器上的 ${model} 对话。之前说过的内容来自 KV 缓存：只计算新的部分，答案逐位相同。`,
  continuing: (model) => `${model} 没有对话格式：它会像训练时那样续写你的文字。`,
  placeholder: "消息",
  placeholderText: "写一段开头",
  send: "发送",
  stop: "停止",
  keys: "回车发送，Shift + 回车换行，Esc 停止",
  thinking: "思考中……",
  thoughts: "思考",
  waiting: "模型正在阅读……",
  writing: "模型正在书写……",
  answered: "回答已完成。",
  nothing: "回答为空。",
  edit: "编辑",
  copy: "复制",
  copied: "已复制",
  retry: "重新回答",
  tryAgain: "再试一次",
  ends: { length: "达到长度上限", stopped: "已停止", lost: "中断" },
  cost: ({ promptTokens, cachedTokens, newTokens, tokensPerSecond }) => [
    `${promptTokens} 个 token 中 ${cachedTokens} 个来自缓存`,
    `新生成 ${newTokens} 个`,
    ...(tokensPerSecond > 0 ? [`每秒 ${tokensPerSecond.toFixed(1)} 个 token`] : []),
  ],
  notReached: "没有连上服务器，或回答中断。服务器还在运行吗？",
  wait: (seconds) => `服务器请你 ${seconds} 秒后再试。`,
};

class Language extends LanguageChoice {
  readonly words = $derived(this.name === "zh" ? zh : en);
}

export const language = new Language();
