-- The server for Neovim 0.11 and later without the plugin: vim.lsp.enable('treegraft').
---@type vim.lsp.Config
return {
  cmd = { 'treegraft', '--stdio' },
  root_markers = { '.git', 'pyproject.toml', 'package.json', 'go.mod', 'Cargo.toml' },
}
