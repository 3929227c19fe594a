-- One language client for all buffers, on every Neovim since 0.7; what the versions call differently is in here.

local M = {}

---@class treegraft.Status What the server last said of itself (didChangeStatus).
---@field kind 'Normal'|'Warning'|'Error'|'Inactive'
---@field message string
---@field busy boolean

---@type treegraft.Status
M.status = { kind = 'Inactive', message = 'not started', busy = false }

---@type integer?
local id

local function has(version)
  return vim.fn.has('nvim-' .. version) == 1
end

---The running client, or nil.
function M.get()
  return id and vim.lsp.get_client_by_id(id) or nil
end

---@param options treegraft.Options
---@return integer? id
function M.start(options)
  if M.get() then
    return id
  end
  if vim.fn.executable(options.cmd[1]) ~= 1 then
    M.status = { kind = 'Error', message = options.cmd[1] .. ' is not on PATH: pip install treegraft', busy = false }
    vim.notify_once('treegraft: ' .. M.status.message, vim.log.levels.WARN)
    return nil
  end
  local capabilities = vim.lsp.protocol.make_client_capabilities()
  -- It tells the server that no popup item is wanted beside the ghost text.
  capabilities.textDocument.inlineCompletion = { dynamicRegistration = false }
  local config = {
    name = 'treegraft',
    cmd = options.cmd,
    root_dir = vim.fn.getcwd(),
    capabilities = capabilities,
    settings = { treegraft = options.settings },
    init_options = { treegraft = options.settings },
    handlers = {
      didChangeStatus = function(_, status)
        M.status = status
        if has('0.8') then
          vim.cmd('redrawstatus!')
        end
      end,
    },
    on_init = function()
      -- From here on the server says what changes.
      M.status = { kind = 'Normal', message = '', busy = false }
    end,
    on_exit = function(code)
      id = nil
      M.status = { kind = 'Inactive', message = 'the server has ended with code ' .. code, busy = false }
    end,
  }
  if has('0.11') then
    id = vim.lsp.start(config, { attach = false })
  else
    id = vim.lsp.start_client(config)
  end
  if id then
    M.status = { kind = 'Normal', message = 'starting', busy = true }
  end
  return id
end

function M.stop()
  local client = M.get()
  id = nil
  if client and has('0.11') then
    client:stop()
  elseif client then
    client.stop()
  end
end

---Attach a buffer that holds a file of the user's, or is going to.
---@param buffer integer
---@param options treegraft.Options
function M.attach(buffer, options)
  if not vim.api.nvim_buf_is_loaded(buffer) or vim.api.nvim_buf_get_option(buffer, 'buftype') ~= '' then
    return
  end
  local filetype = vim.api.nvim_buf_get_option(buffer, 'filetype')
  if filetype == '' or vim.tbl_contains(options.ignored_filetypes, filetype) then
    return
  end
  if M.start(options) and not vim.lsp.buf_is_attached(buffer, id) then
    vim.lsp.buf_attach_client(buffer, id)
  end
end

---@param method string
---@param params table
---@param handler fun(problem: table?, result: any)
---@param buffer integer?
---@return integer? request to be cancelled with
function M.request(method, params, handler, buffer)
  local client = M.get()
  if not client then
    return nil
  end
  local sent, request
  -- A buffer's changes are sent before the request: Neovim holds them back for a while otherwise.
  if has('0.11') then
    sent, request = client:request(method, params, handler, buffer or 0)
  else
    sent, request = client.request(method, params, handler, buffer or 0)
  end
  return sent and request or nil
end

---@param request integer
function M.cancel(request)
  local client = M.get()
  if client and has('0.11') then
    client:cancel_request(request)
  elseif client then
    client.cancel_request(request)
  end
end

---@param method string
---@param params table
function M.notify(method, params)
  local client = M.get()
  if client and has('0.11') then
    client:notify(method, params)
  elseif client then
    client.notify(method, params)
  end
end

---Run one of the server's commands.
---@param command string
---@param arguments any[]?
---@param handler fun(problem: table?, result: any)?
function M.execute(command, arguments, handler)
  local params = { command = command, arguments = arguments }
  return M.request('workspace/executeCommand', params, handler or function() end)
end

---Where the cursor is, as the server counts.
function M.position()
  local client = M.get()
  return vim.lsp.util.make_position_params(0, client and client.offset_encoding or 'utf-16').position
end

return M
