-- Commands are there from the start; the server is started by require('treegraft').setup().
if vim.g.loaded_treegraft then
  return
end
vim.g.loaded_treegraft = true

vim.api.nvim_create_user_command('Treegraft', function(call)
  require('treegraft.commands').run(call.fargs)
end, {
  nargs = '*',
  desc = 'toggle, why, stats, restart, model, status, log',
  complete = function(typed, line)
    return require('treegraft.commands').complete(typed, line)
  end,
})
