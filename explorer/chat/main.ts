/** Starts the page to talk. */
import "../src/design/tokens.css";
import "../src/design/base.css";
import "../src/design/parts.css";
import { mount } from "svelte";
import ChatPage from "./ChatPage.svelte";

const target = document.querySelector("#app");
if (target === null) throw new Error("the page has no #app");
mount(ChatPage, { target });
