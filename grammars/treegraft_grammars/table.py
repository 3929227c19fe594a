"""The table of languages: how files of each are recognised, which package holds its compiled grammar, how far to trust it.

Adding a language is a row here plus a pinned package in pyproject.toml: in `dependencies` for a row without an extra, else
in that extra. Nothing is imported or looked up here.
"""

from __future__ import annotations

from dataclasses import dataclass

# The extra of pyproject.toml that installs the grammars a first install does without.
MORE = "languages"


@dataclass(frozen=True, slots=True)
class Language:
    """One row.

    extensions are lower case with their dot; file_names are whole names; interpreters are what a shebang calls, without
    version digits; `entry` is the function of `module` that returns the grammar.

    aliases: what people call it at a fenced block of Markdown, besides its name, its LSP ids and its extensions.
    extra: the extra of treegraft that installs the grammar; "" for a language of every install.
    untrusted: why the grammar is no constraint, "" if it is one. Such a language is completed without constraint, and
    said to be.
    known_gaps: what of the language the grammar refuses or reads wrongly, as found by the tests; for people.
    probes: continuations that show that an unfinished text can go on, where the general ones of the simulator do not.
    horizon: how many bytes from a short token on may tell what it is, 0 for all: some scanners look to the end of the file for
    the end of something that never comes, and the file would be read again with each key.
    hides_tokens: its scanner finds some tokens only when it is asked for all there are, as tree-sitter does after it found none.
    serialises_all: its scanner keeps nothing that it does not serialise, so that it need not be made anew for each token.
    hangs: its scanner never stops at the end of some unfinished texts that do not end with a line break.
    """

    name: str
    lsp_ids: tuple[str, ...]
    extensions: tuple[str, ...]
    module: str
    entry: str = "language"
    file_names: tuple[str, ...] = ()
    interpreters: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    extra: str = ""
    licence: str = "MIT"
    untrusted: str = ""
    known_gaps: str = ""
    probes: tuple[str, ...] = ()
    horizon: int = 0
    hides_tokens: bool = False
    serialises_all: bool = False
    hangs: bool = False

    @property
    def package(self) -> str:
        """The distribution that holds the grammar."""
        return self.module.replace("_", "-")


def _rests(spelling: str, n: int) -> tuple[str, ...]:
    """What a text that ends in the first 0 to n - 1 characters of a spelling lacks of it."""
    return tuple(spelling[begin:] for begin in range(n))


LANGUAGES: tuple[Language, ...] = (
    Language(
        name="python",
        lsp_ids=("python",),
        extensions=(".py", ".pyi", ".pyw"),
        file_names=("SConstruct", "SConscript", "wscript", ".pythonrc", ".pythonstartup"),
        interpreters=("python", "pypy"),
        aliases=("python3",), module="tree_sitter_python", serialises_all=True,
        known_gaps="stars and slices where a type or one value stands",
    ),
    Language(
        name="javascript",
        lsp_ids=("javascript", "javascriptreact"),
        extensions=(".js", ".mjs", ".cjs", ".jsx"),
        file_names=("Jakefile",),
        interpreters=("node", "nodejs", "qjs"),
        module="tree_sitter_javascript", known_gaps="takes invalid regular expressions and private names outside classes",
    ),
    Language(
        name="typescript",
        lsp_ids=("typescript",),
        extensions=(".ts", ".mts", ".cts"),
        interpreters=("ts-node", "tsx", "deno", "bun"),
        module="tree_sitter_typescript", known_gaps="variance annotations on a line of their own",
        entry="language_typescript",
    ),
    Language(
        name="tsx",
        lsp_ids=("typescriptreact", "tsx"),
        extensions=(".tsx",),
        module="tree_sitter_typescript",
        entry="language_tsx",
    ),
    Language(
        name="json",
        lsp_ids=("json", "jsonc"),
        extensions=(".json", ".jsonc", ".geojson", ".webmanifest", ".code-workspace", ".har"),
        file_names=(".babelrc", ".jshintrc", ".swcrc", ".watchmanconfig", "composer.lock", "Pipfile.lock"),
        module="tree_sitter_json", known_gaps="refuses exponents with a plus sign",
    ),
    Language(name="go", lsp_ids=("go",), extensions=(".go",), aliases=("golang",), module="tree_sitter_go", probes=_rests("00000000'", 6), known_gaps="paths of imports are not looked at; an empty statement after {"),
    Language(
        name="rust", lsp_ids=("rust",), extensions=(".rs",), interpreters=("rust-script",), module="tree_sitter_rust", probes=('"###', '"##', '"#'), known_gaps="takes 1 % of the broken mutants that rustc refuses"
    ),
    Language(name="java", lsp_ids=("java",), extensions=(".java",), module="tree_sitter_java", known_gaps="takes a method without a return type"),
    Language(name="c", lsp_ids=("c",), extensions=(".c", ".h"), module="tree_sitter_c", known_gaps="macros that stand for syntax"),
    Language(
        name="cpp",
        lsp_ids=("cpp",),
        extensions=(".cpp", ".cc", ".cxx", ".c++", ".hpp", ".hh", ".hxx", ".h++", ".ipp", ".inl", ".tpp"),
        module="tree_sitter_cpp", probes=("p0",), known_gaps="macros that stand for syntax",
    ),
    Language(
        name="bash",
        lsp_ids=("shellscript", "bash", "sh"),
        extensions=(".sh", ".bash", ".ebuild", ".eclass"),
        file_names=(
            ".bashrc", ".bash_profile", ".bash_aliases", ".bash_login", ".bash_logout", ".profile", "bash.bashrc",
            "PKGBUILD", "APKBUILD",
        ),
        interpreters=("bash", "sh", "dash", "ash"),
        aliases=("shell",), module="tree_sitter_bash", horizon=300, probes=("\n)", "`)", "\n\n"),
        known_gaps="a lone $ before a line break; backquotes in quotes, some conditions of [[ ]]; the end of a pattern is looked for in 300 bytes, by tree-sitter in the whole file",
    ),
    Language(
        name="csharp",
        lsp_ids=("csharp",),
        extensions=(".cs", ".csx"),
        interpreters=("dotnet-script",),
        aliases=("c#",), module="tree_sitter_c_sharp",
        extra=MORE,
    ),
    Language(
        name="ruby",
        lsp_ids=("ruby",),
        extensions=(".rb", ".rake", ".gemspec", ".ru", ".rbw", ".podspec"),
        file_names=("Rakefile", "Gemfile", "Podfile", "Vagrantfile", "Guardfile", "Capfile", "Brewfile", "Fastfile"),
        interpreters=("ruby", "jruby", "rake"),
        module="tree_sitter_ruby", probes=_rests("begin\n=end\n", 7), known_gaps="takes commands without brackets where ruby wants a comma",
        extra=MORE,
    ),
    Language(
        name="php",
        lsp_ids=("php",),
        extensions=(".php", ".phtml", ".php3", ".php4", ".php5", ".phps"),
        interpreters=("php",),
        module="tree_sitter_php",
        entry="language_php",
        extra=MORE,
    ),
    Language(
        name="lua",
        lsp_ids=("lua",),
        extensions=(".lua", ".rockspec"),
        file_names=(".luacheckrc",),
        interpreters=("lua", "luajit", "texlua"),
        module="tree_sitter_lua", probes=("]==]", "]=]", "]]", ".."),
        extra=MORE,
    ),
    Language(
        name="html",
        lsp_ids=("html",),
        extensions=(".html", ".htm", ".xhtml"),
        module="tree_sitter_html",
        probes=(*_rests("<!DOCTYPE html>", 11)[2:], "-->", "--->"),
        extra=MORE, known_gaps="XML declarations, characters that are no letters after inline elements, blanks after a last unclosed element",
    ),
    Language(
        name="css", lsp_ids=("css",), extensions=(".css",), module="tree_sitter_css", extra=MORE, probes=("fff;", "ff;", "f;", "a{}", "*/a{}", "]){}", "){}", *_rests("important;", 9))
    ),
    Language(name="scss", lsp_ids=("scss",), extensions=(".scss",), module="tree_sitter_scss", extra=MORE, probes=("a{}", ") {}", *_rests("important;", 9)), untrusted="it refuses most files that use modules", known_gaps="@use ... as, names of modules before a dot, if()"),
    Language(
        name="xml",
        lsp_ids=("xml", "xsl", "svg"),
        extensions=(
            ".xml", ".svg", ".xsd", ".xsl", ".xslt", ".plist", ".csproj", ".vcxproj", ".props", ".targets", ".rss",
            ".wsdl", ".xaml", ".rng", ".storyboard", ".xib",
        ),
        module="tree_sitter_xml", probes=(*_rests("MTOKEN", 6), *_rests("NTITY", 5), *_rests("REF", 3), *_rests("DATA", 4), "?>\n<a/>", ">\n<a/>", "-->", "->", ".0", "a-->", "- -->", "-- -->", "]]>", "a>", "a/>"),
        entry="language_xml",
        extra=MORE,
    ),
    Language(
        name="yaml",
        lsp_ids=("yaml", "dockercompose", "github-actions-workflow"),
        extensions=(".yaml", ".yml"),
        file_names=(".clang-format", ".clang-tidy", ".clangd", "CITATION.cff"),
        module="tree_sitter_yaml",
        extra=MORE,
    ),
    Language(
        name="toml",
        lsp_ids=("toml",),
        extensions=(".toml",),
        file_names=("Cargo.lock", "poetry.lock", "uv.lock", "Pipfile"),
        module="tree_sitter_toml", probes=("1:01:01Z", "01:01:01Z", ":01:01Z", "0Z", "01-01", "1-01", "-01", "01", "01:01", "1:01", ":01:01", ":01", "rue", "ue", "alse", "lse", "se", "e", "nf", "f", "an", "n"),
        extra=MORE,
    ),
    Language(
        name="sql",
        lsp_ids=("sql", "mysql", "postgres", "plsql"),
        extensions=(".sql", ".psql", ".pgsql"),
        module="tree_sitter_sql",
        extra=MORE, untrusted="every database has its own dialect, and the grammar refuses most real scripts", known_gaps="psql's backslash commands, most of CREATE FUNCTION",
    ),
    Language(
        name="kotlin",
        lsp_ids=("kotlin",),
        extensions=(".kt", ".kts"),
        interpreters=("kotlin", "kscript"),
        module="tree_sitter_kotlin", probes=("a fun", " fun"), hangs=True,
        extra=MORE,
    ),
    Language(
        name="swift",
        lsp_ids=("swift",),
        extensions=(".swift",),
        interpreters=("swift",),
        module="tree_sitter_swift", probes=('"#', *_rests("rethrows {}", 8)[1:], *_rests("async {}", 5)[1:]), hides_tokens=True,
        extra=MORE, known_gaps="sending parameters, return id at the end of a block, casts of ()",
    ),
    Language(
        name="scala",
        lsp_ids=("scala", "sbt"),
        extensions=(".scala", ".sc", ".sbt"),
        interpreters=("scala", "scala-cli", "amm"),
        module="tree_sitter_scala", probes=("\n!#\n", "0000'"),
        extra=MORE,
    ),
    Language(
        name="haskell",
        lsp_ids=("haskell",),
        extensions=(".hs",),
        interpreters=("runghc", "runhaskell"),
        module="tree_sitter_haskell", known_gaps="a few contexts of instances over several lines are refused until they close", probes=("A", "A where", *_rests("endif\n", 5), *_rests("else\n", 3)[1:], *_rests("def\n", 2), *_rests("nclude", 6), "a) => A a where", ") => A a where", "A a) => A a where", " A a) => A a where", " ) => A a where", " => A a where", "=> A a where", "a)) => A a where", "a) = a", ") = a", "a a) = a"),
        extra=MORE,
    ),
    Language(
        name="ocaml",
        lsp_ids=("ocaml",),
        extensions=(".ml",),
        file_names=(".ocamlinit",),
        interpreters=("ocaml", "ocamlrun"),
        module="tree_sitter_ocaml",
        entry="language_ocaml",
        probes=('0""',),
        extra=MORE,
    ),
    Language(
        name="ocaml-interface",
        lsp_ids=("ocaml.interface",),
        extensions=(".mli",),
        module="tree_sitter_ocaml",
        entry="language_ocaml_interface",
        probes=('0""',),
        extra=MORE,
    ),
    Language(name="zig", lsp_ids=("zig",), extensions=(".zig", ".zon"), module="tree_sitter_zig", probes=("0}'",), extra=MORE, known_gaps="the newest syntax: clobbers as a struct, *opaque"),
    Language(
        name="elixir",
        lsp_ids=("elixir",),
        extensions=(".ex", ".exs"),
        file_names=("mix.lock",),
        interpreters=("elixir",),
        module="tree_sitter_elixir",
        extra=MORE,
        licence="Apache-2.0",
        probes=("a: 0", ": 0", "<: 0", ">: 0", "~>: 0", "|: 0", "&: 0", "^: 0", "}: 0", " in a"),
    ),
    Language(
        name="julia",
        lsp_ids=("julia",),
        extensions=(".jl",),
        interpreters=("julia",),
        module="tree_sitter_julia",
        extra=MORE, untrusted="not tested on enough real files",
    ),
    Language(
        name="perl",
        lsp_ids=("perl",),
        extensions=(".pl", ".pm", ".t", ".psgi"),
        file_names=("cpanfile",),
        interpreters=("perl",),
        module="tree_sitter_perl", probes=('a]"', ']"', "'}\"", "a'}\"", "a|", "a!", "a}", "a#", "a}}"), hangs=True,
        extra=MORE,
    ),
    Language(
        name="fortran",
        lsp_ids=("fortran", "FortranFreeForm", "fortran-modern"),
        extensions=(".f90", ".f95", ".f03", ".f08"),
        module="tree_sitter_fortran", known_gaps="half a word of an attribute in capitals is refused until it is whole",
        extra=MORE,
    ),
    Language(
        name="groovy",
        lsp_ids=("groovy", "gradle"),
        extensions=(".groovy", ".gradle", ".gvy"),
        file_names=("Jenkinsfile",),
        interpreters=("groovy",),
        module="tree_sitter_groovy",
        extra=MORE, untrusted="it refuses most Gradle scripts", known_gaps="closures with parameters, ?: and ?., calls without parentheses",
    ),
    Language(
        name="objective-c", lsp_ids=("objective-c",), extensions=(".m",), aliases=("objc", "objectivec"), module="tree_sitter_objc", extra=MORE, known_gaps="macros of Apple's and React's headers"
    ),
    Language(
        name="powershell",
        lsp_ids=("powershell",),
        extensions=(".ps1", ".psm1", ".psd1"),
        interpreters=("pwsh", "powershell"),
        aliases=("pwsh",), module="tree_sitter_powershell",
        extra=MORE, known_gaps="words with a backslash or a percent sign among a command's arguments",
        probes=("#>", "##>", "\"@", "\n\"@", "\n'@"),
    ),
    Language(
        name="make",
        lsp_ids=("makefile",),
        extensions=(".mk", ".mak"),
        file_names=("Makefile", "makefile", "GNUmakefile", "Makefile.am", "Makefile.in"),
        interpreters=("make", "gmake"),
        module="tree_sitter_make",
        extra=MORE, known_gaps="unpaired parentheses and quotes in recipes",
    ),
    Language(
        name="dockerfile",
        lsp_ids=("dockerfile",),
        extensions=(".dockerfile", ".containerfile"),
        file_names=("Dockerfile", "Containerfile"),
        aliases=("docker",), module="tree_sitter_containerfile",
        extra=MORE, untrusted="not tested on enough real files",
    ),
    Language(
        name="markdown",
        lsp_ids=("markdown",),
        extensions=(".md", ".markdown", ".mkd"),
        module="tree_sitter_markdown",
        extra=MORE,
        untrusted="its grammar takes every text",
    ),
)  # fmt: skip
