import { CraftError } from "../errors.js";
import type { RenderChatOptions } from "./chat_template.js";
import { ChatTemplate } from "./chat_template.js";

/** The templates of a model by name, "default" among them as a rule; parsed when first used. */
export class ChatTemplates {
  private readonly sources: ReadonlyMap<string, string>;
  private readonly owner: string;
  private readonly own = new Map<string, ChatTemplate>();
  /** The template given last instead of the model's own. */
  private given: ChatTemplate | undefined;

  constructor(sources: ReadonlyMap<string, string>, owner: string) {
    this.sources = sources;
    this.owner = owner;
  }

  get default(): string | undefined {
    return this.sources.get("default");
  }

  /**
   * The template of that name or text; else, when tools are given, the one named "tool_use"; else the default.
   * @throws CraftError if there is none, or it cannot be parsed
   */
  select({ chatTemplate, tools }: RenderChatOptions): ChatTemplate {
    const forTools = tools !== undefined && this.sources.has("tool_use");
    const name = chatTemplate ?? (forTools ? "tool_use" : "default");
    const source = this.sources.get(name);
    if (source !== undefined) {
      const known = this.own.get(name) ?? new ChatTemplate(source, `the chat template of ${this.owner}`);
      this.own.set(name, known);
      return known;
    }
    if (chatTemplate === undefined) throw this.none();
    if (this.given?.source !== chatTemplate)
      this.given = new ChatTemplate(chatTemplate, "the given chat template");
    return this.given;
  }

  private none(): CraftError {
    const names = [...this.sources.keys()];
    const hasOthers = names.length > 0;
    return new CraftError({
      subject: "chatTemplate",
      reason: `${this.owner} has no ${hasOthers ? "default " : ""}chat template`,
      remedy: hasOthers ? `Name one of ${names.join(", ")}` : "Give the text of a template as chatTemplate",
    });
  }
}
