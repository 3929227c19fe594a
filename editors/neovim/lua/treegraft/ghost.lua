-- The suggestion behind the cursor: asked for with every key, drawn as an extmark, taken whole or word by word.
--
-- The server decides when to wait, what is worth showing and what an elder question's answer is still good for; here
-- one question is on its way at a time, and an answer is drawn only where and when it was asked for.

local client = require('treegraft.client')

local M = {}

local api = vim.api
local namespace = api.nvim_create_namespace('treegraft')
local inline = vim.fn.has('nvim-0.10') == 1 -- elder ones cannot draw between characters

---@class treegraft.Ghost
---@field buffer integer
---@field row integer from 0
---@field column integer bytes, from 0; where `text` is to be inserted
---@field text string what is left to be inserted
---@field taken string what was accepted or typed of the item
---@field index integer of the item shown
---@field items table[] as the server sent them
---@field all boolean whether the items are all candidates, or the first one only

---@type treegraft.Ghost?
local shown
---@type integer?
local asking
local asked_at = '' -- buffer, changedtick and cursor of the last question

local AUTOMATIC, INVOKED = 2, 1

local function insert_mode()
  return api.nvim_get_mode().mode:sub(1, 1) == 'i'
end

local function cursor()
  local place = api.nvim_win_get_cursor(0)
  return place[1] - 1, place[2]
end

local function here()
  local row, column = cursor()
  local buffer = api.nvim_get_current_buf()
  return table.concat({ buffer, api.nvim_buf_get_changedtick(buffer), row, column }, ' ')
end

local function popup_item_selected()
  return vim.fn.pumvisible() == 1 and vim.fn.complete_info({ 'selected' }).selected >= 0
end

local function clear(buffer)
  if api.nvim_buf_is_valid(buffer) then
    api.nvim_buf_clear_namespace(buffer, namespace, 0, -1)
  end
end

---Take the suggestion away, and the question that may be on its way.
function M.hide()
  if asking then
    client.cancel(asking)
    asking = nil
  end
  if shown then
    clear(shown.buffer)
    shown = nil
  end
end

local function draw()
  clear(shown.buffer)
  local lines = vim.split(shown.text, '\n', { plain = true })
  local line = api.nvim_buf_get_lines(shown.buffer, shown.row, shown.row + 1, false)[1] or ''
  local after = line:sub(shown.column + 1)
  local first, rest = { { lines[1], 'TreegraftGhost' } }, {}
  for number = 2, #lines do
    table.insert(rest, { { lines[number], 'TreegraftGhost' } })
  end
  local last = #rest > 0 and rest[#rest] or first
  -- What stands behind the cursor comes after all of the suggestion. Where it cannot move, it is drawn again there.
  local covers = after ~= '' and (#rest > 0 or not inline)
  if covers then
    table.insert(last, { after, 'Normal' })
    local missing = vim.fn.strdisplaywidth(after) - vim.fn.strdisplaywidth(lines[1])
    if #rest > 0 and missing > 0 then
      table.insert(first, { (' '):rep(missing), 'Normal' })
    end
  end
  if shown.all and #shown.items > 1 then
    table.insert(last, { (' %d/%d'):format(shown.index, #shown.items), 'TreegraftCount' })
  end
  api.nvim_buf_set_extmark(shown.buffer, namespace, shown.row, shown.column, {
    virt_text = first,
    virt_text_pos = inline and not covers and 'inline' or 'overlay',
    virt_lines = #rest > 0 and rest or nil,
    -- With the cursor's line, but not with what is special about the next character: a matching bracket, mostly.
    hl_mode = after == '' and 'combine' or 'replace',
  })
end

---@param items table[]
---@param index integer
---@param all boolean
local function show(items, index, all)
  local item = items[index]
  if not item then
    M.hide()
    return
  end
  local row, column = cursor()
  local repeated = shown and shown.items[shown.index] and shown.items[shown.index].insertText == item.insertText
  if shown then
    clear(shown.buffer)
  end
  shown = {
    buffer = api.nvim_get_current_buf(),
    row = row,
    column = column,
    text = item.insertText,
    taken = '',
    index = index,
    items = items,
    all = all,
  }
  draw()
  if not repeated then
    client.notify('textDocument/didShowCompletion', { item = item })
  end
end

---What of the shown suggestion is still to come after typing on; drawn at once, while the server is asked.
local function type_through()
  if not shown then
    return
  end
  local row, column = cursor()
  local typed
  if api.nvim_get_current_buf() == shown.buffer and row == shown.row and column >= shown.column then
    local line = api.nvim_buf_get_lines(shown.buffer, row, row + 1, false)[1] or ''
    typed = line:sub(shown.column + 1, column)
  end
  if not typed or #typed >= #shown.text or shown.text:sub(1, #typed) ~= typed then
    clear(shown.buffer)
    shown = nil
    return
  end
  shown.taken = shown.taken .. typed
  shown.text = shown.text:sub(#typed + 1)
  shown.column = column
  draw()
end

---@param kind integer trigger kind of LSP
---@param done fun(items: table[])
local function ask(kind, done)
  local buffer = api.nvim_get_current_buf()
  if asking then
    client.cancel(asking)
    asking = nil
  end
  local place, number = here(), nil
  asked_at = place
  number = client.request('textDocument/inlineCompletion', {
    textDocument = { uri = vim.uri_from_bufnr(buffer) },
    position = client.position(),
    context = { triggerKind = kind },
    formattingOptions = {
      tabSize = vim.fn.shiftwidth(),
      insertSpaces = api.nvim_buf_get_option(buffer, 'expandtab'),
    },
  }, function(problem, result)
    if asking == number then
      asking = nil
    end
    if problem or not result or not insert_mode() or here() ~= place then
      return
    end
    done(result.items or result)
  end, buffer)
  asking = number
end

---A key was struck or the cursor went elsewhere.
function M.update()
  local buffer = api.nvim_get_current_buf()
  local served = client.get()
  if not served or not vim.lsp.buf_is_attached(buffer, served.id) or not insert_mode() then
    return
  end
  if popup_item_selected() then
    M.hide()
    return
  end
  if here() == asked_at then -- TextChangedI and CursorMovedI of the same key
    return
  end
  type_through()
  ask(AUTOMATIC, function(items)
    show(items, 1, false)
  end)
end

---Forget what was shown here, so that the next look asks anew.
function M.reset()
  asked_at = ''
  M.hide()
end

function M.visible()
  return shown ~= nil and api.nvim_get_current_buf() == shown.buffer
end

---@return string the text that is left to be inserted; '' when nothing is shown
function M.text()
  return shown and shown.text or ''
end

---@param text string at the cursor; one step to be undone
local function insert(text)
  local row, column = cursor()
  -- What was typed before stays when the insertion is undone.
  vim.cmd('let &g:undolevels = &g:undolevels')
  local lines = vim.split(text, '\n', { plain = true })
  api.nvim_buf_set_text(0, row, column, row, column, lines)
  local last = #lines[#lines]
  api.nvim_win_set_cursor(0, { row + #lines, #lines == 1 and column + last or last })
end

---Insert what is shown.
---@return boolean whether there was something
function M.accept()
  if not M.visible() then
    return false
  end
  local item, text = shown.items[shown.index], shown.text
  M.hide()
  insert(text)
  if item.command then
    client.execute(item.command.command, item.command.arguments)
  end
  return true
end

---The first word of a suggestion with the blanks before it: letters and digits, or a run of marks, or a line break.
---@param text string
---@return string
function M.first_word(text)
  return text:match('^[ \t]*[%w_\128-\255]+') or text:match('^[ \t]*[^%w_%s\128-\255]+') or text:match('^%s+') or text
end

---Insert the first word of what is shown; the rest stays.
---@return boolean whether there was something
function M.accept_word()
  if not M.visible() then
    return false
  end
  local ghost, word = shown, M.first_word(shown.text)
  if word == ghost.text then
    return M.accept()
  end
  insert(word)
  shown = ghost
  ghost.taken, ghost.text = ghost.taken .. word, ghost.text:sub(#word + 1)
  ghost.row, ghost.column = cursor()
  draw()
  client.notify('textDocument/didPartiallyAcceptCompletion', {
    item = ghost.items[ghost.index],
    acceptedLength = select(2, vim.str_utfindex(ghost.taken)),
  })
  return true
end

---Show the next candidate, or the one before; asks for all of them first. Without anything shown, asks.
---@param step integer
function M.cycle(step)
  if shown and shown.all then
    show(shown.items, (shown.index - 1 + step) % #shown.items + 1, true)
    return
  end
  local first = shown and shown.text
  ask(INVOKED, function(items)
    local index = 1
    if first and #items > 1 and items[1].insertText == first then
      index = step % #items + 1
    end
    show(items, index, true)
  end)
end

return M
