"""What parity/text.py feeds to the reference: training lines, hard strings, chat templates, Jinja snippets."""

CORPUS = [
    "The house by the river has a red door and three small windows.",
    "She opened the box, looked inside, and found nothing but an old letter.",
    "Type 'string' is not assignable to type 'number'. Did you mean to call it?",
    "for (let i = 0; i < items.length; i++) { total += items[i].price; }",
    "def add(a, b):\n    return a + b\n\nprint(add(1, 2))\n",
    "La casa junto al río tiene una puerta roja y tres ventanas pequeñas.",
    "Das Haus am Fluss hat eine rote Tür und drei kleine Fenster.",
    "Дом у реки, красная дверь и три маленьких окна.",
    "川のそばの家には赤い扉と三つの小さな窓がある。",
    "You are a helpful assistant. The user asks, the assistant answers.",
    "What is the weather in Paris today? It is 21 degrees and sunny, 100% sure.",
    "I can't, you won't, they'll see, we've been, it's fine, I'm here, he'd go.",
] * 3

TEXTS = [
    "",
    " ",
    "   ",
    "\n",
    "\n\n  \n",
    "\t\tx",
    "Hello",
    " Hello",
    "Hello ",
    "  Hello  world  ",
    "Hello, world! It's fine; they'll CAN'T won'T I'M.",
    "line one\nline two\r\nline three\rline four",
    "a\r\n\r\n b \n\tc",
    "12 345 6789 1234567 3.14 1e-5 ٣٤٥ ½ Ⅻ ²",
    "def f(x):\n    if x > 0:\n\treturn x**2  # square\n\n\nprint(f(3))",
    "https://example.org/a_b?c=d&e=%20#frag",
    "snake_case camelCase kebab-case __dunder__ A.B.C",
    "{\"key\": [1, 2.5, null], \"k2\": \"v\\n\"}",
    "naïve café, Ünïcödé, ñandú",
    "e\u0301 a\u0308o\u0308 n\u0303 combining\u0301\u0302 accents\u0301",
    "\u0301 starts with a mark",
    "ﬁne ﬂow Å Ω K ㎏ ①",
    "İstanbul ΣΑΣ ß STRASSE",
    "日本語と中文混在123テキスト。「引用」",
    "한국어 \u1112\u1161\u11ab\u1100\u116e\u11a8 자모",
    "مرحبا بالعالم، كيف الحال؟",
    "שָׁלוֹם עוֹלָם",
    "हिन्दी में नमस्ते दुनिया",
    "ภาษาไทยไม่มีช่องว่าง",
    "emoji 😀 🎉🎉 ok",
    "family 👨‍👩‍👧‍👦, flag 🇪🇸🇯🇵, tone 👍🏽, heart ❤️‍🔥",
    "astral 𝒳𝓎 𠀀𪛖 𐍈",
    "\ufeffbyte order mark \ufeff inside",
    "no\u00a0break\u2003em\u3000wide\u0085next\u2028line\u200bzero",
    "control \u0000 \u0001 \u001b[0m \u007f",
    "quotes “curly” ‘single’ «angle» … — – -",
    "▁ literal ▁▁ marks Ġ and Ċ",
    "<0x41> is not a byte <0xFF>",
    "<|bos|>",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    "before <|eos|> after",
    "before  <|im_start|>  middle  <|im_end|>  after",
    "x<|im_start|>y<|im_end|>z<|im_start|><|im_end|>",
    "<|im_start <|im_end|",
    "a<tool_call>b <tool_call> c</tool_call>d <TOOL_CALL></Tool_Call>",
    "<tool_call>\n{\"name\": \"f\"}\n</tool_call>",
    "<s>[INST] Hi [/INST] there</s> <s> again</s>",
    "</s></s>  </s> x",
    "<unk> unknown ☃ ☃☃ ♞ x",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "the " * 40,
    "!!!???...,,,;;;:::---___===+++***///\\\\\\|||~~~^^^%%%$$$###@@@",
    "mixed日本and русский中with123数字and😀emoji",
    "The house by the river, 川のそば, Дом у реки: tres ventanas pequeñas.",
    "trailing newline\n",
    "trailing spaces   ",
    "\n leading newline and space",
    "word\u2019s right quote and word's straight one",
]

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather for a <city> & \"day\"",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "enum": ["Paris", "São Paulo"]}, "days": {"type": "integer"}},
                "required": ["city"],
            },
        },
    }
]

CHATS = {
    "one question": [{"role": "user", "content": "Hi there"}],
    "answered": [{"role": "user", "content": "What is 2+2?"}, {"role": "assistant", "content": "It is 4."}],
    "system and two turns": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Où est la maison? 😀"},
        {"role": "assistant", "content": "Près de la rivière 👍🏽."},
        {"role": "user", "content": "  Spaces  \n"},
        {"role": "assistant", "content": "Kept\n\nas they are\n"},
    ],
    "tool call": [
        {"role": "user", "content": "Weather in Paris?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris", "days": 2, "exact": True, "unit": None}}}],
        },
        {"role": "tool", "name": "get_weather", "content": "21 °C"},
        {"role": "assistant", "content": "It is 21 °C."},
    ],
    "thinking": [
        {"role": "user", "content": "Think"},
        {"role": "assistant", "content": "<think>\nhm, first\n</think>\n\n  indented answer"},
        {"role": "user", "content": "Again"},
        {"role": "assistant", "content": "<think>\nsecond\n</think>\n\ndone"},
    ],
    "wrong order": [{"role": "assistant", "content": "I begin"}, {"role": "assistant", "content": "twice"}],
}

CHATML = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "<|im_end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == "user" or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\\n' + message.content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' }}
            {{- tool_call.name }}
            {{- '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.index0 == 0 or messages[loop.index0 - 1].role != "tool" %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- message.content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

LLAMA3 = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{#- The system message comes first. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|header|>system<|/header|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none %}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|header|>' + message['role'] + '<|/header|>\\n\\n'+ message['content'] | trim + '<|eot|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|header|>assistant<|/header|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|header|>ipython<|/header|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable and message.content is not string %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|header|>assistant<|/header|>\\n\\n' }}
{%- endif %}
"""

MISTRAL = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, roles must alternate user/assistant") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" }}{%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] " ~ message.tool_calls | map(attribute="function") | list | tojson ~ eos_token }}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool" %}
        {{- '[TOOL_RESULTS] {"content": ' + message.content|string + "}[/TOOL_RESULTS]" }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported!") }}
    {%- endif %}
{%- endfor %}
"""

ZEPHYR = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""

MARKED = """{%- for message in messages %}
    {%- if message.role == 'assistant' %}
<|im_start|>assistant
{% generation %}{{ message.content }}<|im_end|>{% endgeneration %}

    {%- else %}
        {{- '<|im_start|>' ~ message.role ~ '\\n' ~ message.content ~ '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{% if add_generation_prompt %}
<|im_start|>assistant
{% endif %}
"""

MARKED_TRIMMED = """{% for message in messages %}
  {% if message.role == 'assistant' %}
    <|im_start|>assistant
    {%- generation -%}
        {{ message.content }}
        {{- '<|im_end|>' -}}
    {%- endgeneration -%}
    {{ '\\n' }}
  {% else %}
{{ message.role }}: {{ message.content }}
  {% endif %}
{% endfor %}
"""

QWEN3 = """{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or reasoning_content) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""

TEMPLATES = {
    "chatml": CHATML,
    "llama3": LLAMA3,
    "mistral": MISTRAL,
    "zephyr": ZEPHYR,
    "marked": MARKED,
    "marked-trimmed": MARKED_TRIMMED,
    "qwen3": QWEN3,
}

_PEOPLE = [{"name": "Ana", "age": 30, "tags": ["x", "y"]}, {"name": "bob", "age": 25}, {"name": "Cy", "age": 30, "admin": True}]

JINJA = [
    # printing
    ("{{ none }}|{{ true }}|{{ False }}|{{ 1 }}|{{ 1.0 }}|{{ 0.1 }}|{{ 1e20 }}|{{ 1e-7 }}|{{ 12345678901 }}", {}),
    ("{{ x }}", {"x": [1, "a'b", 'q"q', None, True, {"k": [1.5, "é\n😀\u200b"]}]}),
    ("{{ {'a': 1, 'b': {'c': none}} }}{{ (1, 'x') }}{{ (1,) }}{{ [] }}{{ {} }}", {}),
    ("[{{ missing }}][{{ x.missing }}]", {"x": {"a": 1}}),
    ("{{ missing.deeper }}", {}),
    ("{{ x.a.b.c }}", {"x": {"a": 1}}),
    ("{{ missing() }}", {}),
    ("{{ missing + 'x' }}", {}),
    ("{{ missing ~ 'x' ~ none ~ 1 ~ [1] }}", {}),
    ("{{ 'a' 'b' \"c\" }}{{ 'it\\'s \\\\ \\n tab\\t \\x41 \\u00e9 \\d' }}", {}),
    # arithmetic
    ("{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 4 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 3 ** 2 }}", {}),
    ("{{ 1 + 2 * 3 - 4 }} {{ (1 + 2) * 3 }} {{ -3 + 1 }} {{ 1.5 + 1 }} {{ 3.0 * 2 }} {{ 'ab' * 3 }} {{ [1] + [2] }} {{ [0] * 2 }}", {}),
    ("{{ true + 1 }} {{ 'a' + 'b' }} {{ '%s-%d' % ('x', 3) }} {{ '%05.2f|%x' % (3.14159, 255) }}", {}),
    ("{{ 'a' + 1 }}", {}),
    ("{{ 1 + 'a' }}", {}),
    ("{{ 'a' + none }}", {}),
    ("{{ 1 / 0 }}", {}),
    # comparison and logic
    ("{{ 1 == 1.0 }} {{ 1 == '1' }} {{ '' == 0 }} {{ none == missing }} {{ [1, 2] == [1, 2] }} {{ {'a': 1} == {'a': 1} }} {{ true == 1 }}", {}),
    ("{{ 1 < 2 < 3 }} {{ 3 > 2 >= 2 }} {{ 'a' < 'b' }} {{ 'a' in 'cat' }} {{ 1 in [1] }} {{ 'k' in {'k': 0} }} {{ 'x' not in 'abc' }} {{ 'x' in missing }}", {}),
    ("{{ [1] in [[1], [2]] }} {{ not true or true }} {{ not (true or true) }} {{ none or 'd' }} {{ '' and 'x' }}|{{ 0 or [] or 'end' }}", {}),
    ("{{ 'yes' if x else 'no' }} {{ 'only' if missing }}|{{ 1 if false else 2 if false else 3 }}", {"x": [0]}),
    ("{{ 1 < 'a' }}", {}),
    ("{{ 1 in 5 }}", {}),
    # access
    ("{{ x[0] }}{{ x[-1] }}{{ x[1:] }}{{ x[:-1] }}{{ x[::-1] }}{{ x[::2] }}{{ x[9] }}{{ x[5:] }}", {"x": [1, 2, 3]}),
    ("{{ s[0] }}{{ s[-1] }}{{ s[1:3] }}{{ s[::-1] }}{{ s|length }}", {"s": "a😀bé"}),
    ("{{ x.items is callable }} {{ x.y is none }} {{ x.y }} {{ x.get('y', 1) }}{% set z = x.y %}{{ z }}{{ [none]|first }}{{ [none][0] }}", {"x": {"y": None}}),
    ("{% macro f(a=1) %}{{ a }}{% endmacro %}{{ f(none) }}{% for v in [none, 1] %}{{ loop.previtem }}|{{ v }};{% endfor %}{% set ns = namespace(a=none) %}{{ ns.a }}", {}),
    ("{{ x['items'] }} {{ x.get('items') }} {{ x.get('no') }} {{ x.get('no', 5) }} {{ x['get'] is callable }}", {"x": {"items": 7}}),
    ("{{ x.0 }}{{ x.1.name }}", {"x": ["a", {"name": "b"}]}),
    ("{% for k, v in x.items() %}{{ k }}={{ v }};{% endfor %}{% for k in x %}{{ k }}{% endfor %}{{ x.keys()|list }}{{ x.values()|list }}", {"x": {"b": 1, "a": [2]}}),
    ("{{ x.append(1) }}", {"x": []}),
    ("{{ x.__class__ }}", {"x": []}),
    # string methods
    ("[{{ s.strip() }}][{{ s.lstrip() }}][{{ s.rstrip() }}][{{ s.strip(' \\n') }}][{{ 'xxaxx'.strip('x') }}][{{ '\\n  a\\n'.strip('\\n') }}][{{ '\ufeffa\ufeff'.strip() }}]", {"s": " \n a b \t\u3000"}),
    ("{{ 'a,b,,c'.split(',') }}{{ ' a  b '.split() }}{{ 'a b c'.split(' ', 1) }}{{ 'a b c'.rsplit(' ', 1) }}{{ 'a\\nb\\r\\nc'.splitlines() }}{{ 'a,b'.split(',')[-1] }}", {}),
    ("{{ 'hello World'.title() }} {{ 'hELLO wORLD'.capitalize() }} {{ 'aB'.upper() }}{{ 'aB'.lower() }} {{ 'aB'.swapcase() }} {{ \"it's bob's\".title() }} {{ \"it's bob's\"|title }}", {}),
    ("{{ 'abcabc'.replace('b', 'X') }} {{ 'abcabc'.replace('b', 'X', 1) }} {{ 'abc'.find('c') }} {{ 'abc'.find('z') }} {{ 'abca'.rfind('a') }} {{ 'abca'.count('a') }} {{ 'aaa'.replace('', '-') }}", {}),
    ("{{ 'abc'.startswith('ab') }} {{ 'abc'.startswith(('x', 'a')) }} {{ 'abc'.endswith('bc') }} {{ 'a-b'.partition('-') }} {{ 'x'.join(['1', '2']) }} {{ 'abc'.removeprefix('a').removesuffix('c') }}", {}),
    ("{{ '12'.isdigit() }} {{ 'ab1'.isalnum() }} {{ 'ab'.isalpha() }} {{ ' '.isspace() }} {{ 'AB'.isupper() }} {{ 'ab'.islower() }} {{ '7'.zfill(3) }} [{{ 'a'.center(4) }}] [{{ 'a'.ljust(3) }}] [{{ 'a'.rjust(3) }}]", {}),
    ("{{ '{} and {}'.format('a', 1) }} {{ '{0}{1}{0}'.format('x', 'y') }} {{ '{name}!'.format(name='n') }}", {}),
    ("{{ 'a'.index('z') }}", {}),
    # filters
    ("{{ x|tojson }} {{ x|tojson(indent=2) }} {{ x|tojson(sort_keys=true) }} {{ x|tojson(separators=(',', ':')) }} {{ x|tojson(ensure_ascii=true) }}", {"x": {"b": "é<&>'\"\n\u2028😀", "a": [1, 2.5, None, True, [], {}]}}),
    ("{{ missing|tojson }}", {}),
    ("{{ ''|default('d') }}{{ ''|default('d', true) }}{{ missing|default('m') }}{{ missing|d }}{{ none|default('n') }}{{ x.y|default('deep') }}", {"x": {}}),
    ("{{ [3, 1, 2]|sort }} {{ ['b', 'A', 'c']|sort }} {{ ['b', 'A']|sort(case_sensitive=true) }} {{ [1, 2]|sort(reverse=true) }} {{ people|sort(attribute='age')|map(attribute='name')|join(',') }}", {"people": _PEOPLE}),
    ("{{ people|map(attribute='name')|list }} {{ people|map(attribute='tags', default='none')|list }} {{ ['a', 'b']|map('upper')|list }} {{ [' a ']|map('trim')|list }} {{ [['x', 'y']]|map('join', '+')|list }}", {"people": _PEOPLE}),
    ("{{ people|selectattr('age', 'equalto', 30)|map(attribute='name')|list }} {{ people|selectattr('admin')|list|length }} {{ people|rejectattr('admin', 'defined')|map(attribute='name')|list }} {{ people|selectattr('age', '>', 26)|list|length }}", {"people": _PEOPLE}),
    ("{{ [1, 2, 3, 4]|select('even')|list }} {{ [1, 2, 3]|reject('odd')|list }} {{ [0, 1, '']|select|list }} {{ ['a', 'b']|select('in', ['a'])|list }} {{ [1, 5]|select('gt', 2)|list }}", {}),
    ("{% if [] | select('odd') %}a generator is true{% endif %}", {}),
    ("{{ [1] | select('odd') | length }}", {}),
    ("{{ [1, 2]|first }}{{ [1, 2]|last }}{{ 'abc'|first }}{{ 'abc'|last }}{{ []|first }}|{{ [1, 2]|reverse|list }}{{ 'abc'|reverse }}{{ [1, 1, 2]|unique|list }}{{ ['a', 'A']|unique|list }}", {}),
    ("{{ [1, 2, 3]|sum }} {{ people|sum(attribute='age') }} {{ [1, 5]|max }} {{ [4, 2]|min }} {{ ['a', 'B']|max }} {{ -3|abs }} {{ 2.5|round }} {{ 3.14159|round(2) }} {{ 2.4|round(0, 'ceil') }} {{ '7'|int + 1 }} {{ 'x'|int }} {{ 'x'|int(9) }} {{ '1.9'|int }} {{ '2.5'|float }} {{ 3|float }}", {"people": _PEOPLE}),
    ("{{ [1, 2]|join }} {{ [1, 'a', none]|join('-') }} {{ people|join(', ', attribute='name') }} {{ 'abc'|join('.') }}", {"people": _PEOPLE}),
    ("[{{ '  x '|trim }}] [{{ 'xxaxx'|trim('x') }}] {{ 'Ab'|upper }}{{ 'Ab'|lower }} {{ 'hello wORLD'|capitalize }} {{ 'hello-world foo(bar'|title }} {{ 5|string + 'x' }} {{ 'aba'|replace('a', 'c') }} {{ 'aba'|replace('a', 'c', 1) }} {{ 'a b c'|wordcount }} [{{ 'a'|center(5) }}]", {}),
    ("{{ 'a\\nb\\n\\nc'|indent }}|{{ 'a\\nb'|indent(2, true) }}|{{ 'a\\n\\nb'|indent(2, blank=true) }}|{{ 'a\\nb'|indent('> ', first=true) }}", {}),
    ("{{ {'b': 1, 'A': 2}|dictsort }} {{ {'b': 1, 'a': 2}|dictsort(by='value', reverse=true) }} {{ {'x': 1}|items|list }} {{ {'x': 1}|length }} {{ {'x': 1, 'y': 2}|list }} {{ 'ab'|list }}", {}),
    ("{{ '<a href=\"x\">&\\'</a>'|e }} {{ '<'|safe }} {{ 'a'|string|length }} {{ [1, 2, 3]|batch(2)|list }} {{ '%s=%s'|format('k', 1) }}", {}),
    ("{{ x|nosuchfilter }}", {"x": 1}),
    ("{{ x is nosuchtest }}", {"x": 1}),
    # tests
    ("{% for v in x %}{{ v is string }},{{ v is number }},{{ v is integer }},{{ v is float }},{{ v is boolean }},{{ v is mapping }},{{ v is iterable }},{{ v is sequence }},{{ v is none }},{{ v is true }},{{ v is defined }};{% endfor %}", {"x": ["a", 1, 1.5, True, None, [1], {"a": 1}]}),
    ("{{ missing is iterable }}{{ missing is sequence }}{{ missing is defined }}{{ missing is undefined }}{{ missing is none }}{{ x.y is undefined }}{{ range is callable }}", {"x": {}}),
    ("{{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ 2 is even }} {{ 3 is odd }} {{ 1 is eq 1 }} {{ 1 is sameas 1 }} {{ 'a' is in ['a'] }} {{ 'a' is not in 'xyz' }} {{ 3 is gt(2) }} {{ 'AB' is upper }} {{ not 'ab' is lower }} {{ 1 is not none and true }}", {}),
    # loops
    ("{% for x in 'ab' %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.depth }}{{ loop.cycle('o', 'e') }}{{ loop.changed(x) }};{% endfor %}", {}),
    ("{% for x in [1, 2, 3, 4] if x is even %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% else %}none{% endfor %}{% for x in [] %}x{% else %}empty{% endfor %}{% for x in missing %}x{% else %}undefined{% endfor %}", {}),
    ("{% for x in [1, 2, 3, 4] %}{{ x }}{% if x == 2 %}(skip){% continue %}{% endif %}{% if x == 3 %}(stop){% break %}{% endif %}.{% endfor %}", {}),
    ("{% for x in [1, 2] %}{% for y in 'ab' %}{{ x }}{{ y }}{% if y == 'a' and x == 1 %}{% break %}{% endif %}{% endfor %}|{% endfor %}", {}),
    ("{% set x = 0 %}{% for i in [1, 2] %}{{ x }}{% set x = i %}{{ x }}{% endfor %}{{ x }}", {}),
    ("{% for i in [1, 2] %}{% if seen is defined %}leak{% endif %}{% set seen = i %}{% endfor %}{{ seen is defined }}", {}),
    ("{% set ns = namespace(n=0, s='') %}{% for i in [1, 2, 3] %}{% set ns.n = ns.n + i %}{% set ns.s = ns.s ~ i %}{% endfor %}{{ ns.n }}{{ ns.s }}", {}),
    ("{% if true %}{% set y = 5 %}{% endif %}{{ y }}{% set a, b = 1, [2] %}{{ a }}{{ b }}{% for (a, b) in [[1, 2], [3, 4]] %}{{ a + b }},{% endfor %}{{ a }}", {}),
    ("{% for x in none %}{% endfor %}", {}),
    ("{% for a, b in [[1, 2, 3]] %}{% endfor %}", {}),
    ("{% for i in range(3) %}{{ i }}{% endfor %}{{ range(5, 1, -2)|list }}{{ dict(a=1) }}", {}),
    ("{% for item in tree recursive %}{{ item.n }}{% if item.c %}({{ loop(item.c) }}){% endif %}{% endfor %}", {"tree": [{"n": 1, "c": [{"n": 2}, {"n": 3, "c": [{"n": 4}]}]}]}),
    # macros and blocks
    ("{% macro f(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1) }}|{{ f(1, c=3) }}|{{ f(1, 2, 3, 4, z=5) }}|{{ f() }}", {}),
    ("{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}", {}),
    ("{% macro outer() %}<{{ caller('x') }}>{% endmacro %}{% call(v) outer() %}body {{ v }}{% endcall %}", {}),
    ("{% set x = 'global' %}{% macro f() %}{{ x }}{% endmacro %}{% macro g(x) %}{{ f() }}{% endmacro %}{{ g('local') }}", {}),
    ("{% macro fact(n) %}{% if n <= 1 %}1{% else %}{{ n * fact(n - 1)|int }}{% endif %}{% endmacro %}{{ fact(5) }}", {}),
    ("{% set block %}  text {{ 1 + 1 }}\n{% endset %}[{{ block }}]{% set up | upper %}abc{% endset %}{{ up }}{% filter upper %}low{{ 'er' }}{% endfilter %}{% filter replace('a', 'b') %}aa{% endfilter %}", {}),
    ("{% with a=1, b=2 %}{{ a + b }}{% endwith %}{{ a is defined }}", {}),
    ("{% raw %}{{ not }} {% rendered %}{% endraw %}|{%- raw -%}  {# x #}  {%- endraw -%}  |", {}),
    ("{{ raise_exception('roles must alternate') }}", {}),
    ("a{# comment {{ x }} #}b{#- trimmed -#} c", {}),
    # whitespace control
    ("  {% if true %}\n    a\n  {% endif %}\n  b\n", {}),
    ("x  {%- if true -%}\n\n  y  {%- endif %}\nz", {}),
    ("\n\n{% set x = 1 %}\n  {{ x }}\n\n", {}),
    ("  {{ 'kept' }}  \n  {# gone #}\n  end", {}),
    ("a\n\t {%+ if true %}b{% endif +%}\nc\n", {}),
    ("text {% if true %} inline {% endif %} end\r\nnext\r\n", {}),
    ("{% if true %}\n\n{% endif %}{% if true %}{% endif %}\n{% if true %}  {% endif %}", {}),
    ("{{- 'a' -}}  \n  {{- 'b' }} \n {{ 'c' -}}\n\n", {}),
    ("a {%- generation %} b {% endgeneration -%} c", {}),
    ("  {% generation %}\n  body\n  {% endgeneration %}\n  end", {}),
    ("{% if true -%}\n  \u00a0x\n{%- endif %}", {}),
    ("{{ {'a': {'b': 1}}['a']['b'] }}{{ {'x': 1}}}", {}),
    # errors
    ("{% if true %}never closed", {}),
    ("{{ unclosed", {}),
    ("{% endif %}", {}),
    ("{% nosuchtag %}", {}),
    ("{{ 1 + }}", {}),
    ("{% for x %}{% endfor %}", {}),
    ("{{ 'unterminated }}", {}),
    ("{{ (1 }}", {}),
    ("{# open comment", {}),
    ("{% set 5 = 3 %}", {}),
]
