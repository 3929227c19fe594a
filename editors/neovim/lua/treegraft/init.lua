-- treegraft for Neovim: suggestions that fit the syntax tree. :help treegraft

local M = {}

---@class treegraft.Options
---@field cmd string[]
---@field settings table as in docs/settings.md
---@field keys table<string, string|false> key for each action; false: none
---@field ignored_filetypes string[]
---@field auto boolean suggest while typing, not only when asked
local defaults = {
  cmd = { 'treegraft', '--stdio' },
  settings = {},
  auto = true,
  keys = {
    accept = '<Tab>',
    accept_word = '<M-Right>',
    next = '<M-]>',
    previous = '<M-[>',
    dismiss = '<C-]>',
  },
  ignored_filetypes = { 'help', 'gitcommit', 'gitrebase', 'qf', 'netrw', 'TelescopePrompt' },
}

---@type treegraft.Options
M.options = vim.deepcopy(defaults)

---What the key did before, for when nothing is shown.
local function fallback(lhs)
  local elder = vim.fn.maparg(lhs, 'i', false, true)
  return function()
    if elder.callback and elder.expr == 1 then
      return elder.callback()
    elseif elder.callback then
      vim.schedule(elder.callback)
      return ''
    elseif elder.rhs and elder.expr == 1 then
      return vim.api.nvim_eval(elder.rhs)
    elseif elder.rhs and elder.noremap == 0 then -- what it maps to is mapped again, as <Plug> is
      vim.api.nvim_feedkeys(vim.api.nvim_replace_termcodes(elder.rhs, true, true, true), 'm', false)
      return ''
    elseif elder.rhs then
      return elder.rhs
    end
    return lhs
  end
end

---@param lhs string|false|nil
---@param what string
---@param act fun(): boolean? false when there was nothing to do
---@param needs_ghost boolean
local function map(lhs, what, act, needs_ghost)
  if not lhs then
    return
  end
  local otherwise = fallback(lhs)
  vim.keymap.set('i', lhs, function()
    if needs_ghost and not require('treegraft.ghost').visible() then
      return otherwise()
    end
    -- Text cannot be changed while a mapping is evaluated.
    vim.schedule(act)
    return ''
  end, { expr = true, replace_keycodes = vim.fn.has('nvim-0.8') == 1 or nil, desc = 'treegraft: ' .. what })
end

---@param options table? see :help treegraft-options
function M.setup(options)
  M.options = vim.tbl_deep_extend('force', vim.deepcopy(defaults), options or {})
  local client, ghost = require('treegraft.client'), require('treegraft.ghost')
  vim.api.nvim_set_hl(0, 'TreegraftGhost', { link = 'Comment', default = true })
  vim.api.nvim_set_hl(0, 'TreegraftCount', { link = 'NonText', default = true })
  local group = vim.api.nvim_create_augroup('treegraft', { clear = true })
  local function on(events, act)
    vim.api.nvim_create_autocmd(events, { group = group, callback = act })
  end
  on({ 'FileType', 'BufEnter' }, function(event)
    client.attach(event.buf, M.options)
  end)
  if M.options.auto then
    on('InsertEnter', function()
      vim.schedule(ghost.update) -- the event comes before the mode
    end)
    on({ 'TextChangedI', 'CursorMovedI', 'TextChangedP', 'CompleteChanged' }, ghost.update)
  else
    on({ 'TextChangedI', 'CursorMovedI' }, ghost.hide)
  end
  on({ 'InsertLeave', 'BufLeave' }, ghost.reset)
  on('BufEnter', function(event)
    client.notify('textDocument/didFocus', { textDocument = { uri = vim.uri_from_bufnr(event.buf) } })
  end)
  local keys = M.options.keys
  map(keys.accept, 'accept', ghost.accept, true)
  map(keys.accept_word, 'accept a word', ghost.accept_word, true)
  map(keys.dismiss, 'dismiss', ghost.hide, true)
  map(keys.next, 'next candidate', function()
    ghost.cycle(1)
  end, false)
  map(keys.previous, 'candidate before', function()
    ghost.cycle(-1)
  end, false)
  client.attach(vim.api.nvim_get_current_buf(), M.options)
end

---For a statusline: %{v:lua.require'treegraft'.statusline()}
---@return string "treegraft", with a mark when it works (…), is off (-), warns (?) or fails (!)
function M.statusline()
  local status = require('treegraft.client').status
  local marks = { Inactive = ' -', Warning = ' ?', Error = ' !' }
  return 'treegraft' .. (status.busy and ' …' or marks[status.kind] or '')
end

---Whether a suggestion is shown, for one's own mappings.
---@return boolean
function M.visible()
  return require('treegraft.ghost').visible()
end

return M
