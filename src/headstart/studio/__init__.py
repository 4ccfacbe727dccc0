"""The studio: a page on one's own machine, from pictures to a model, for people who do not program.

Projects are ordinary folders, and what lies on the disk is the truth:

    ROOT/PROJECT/pictures/CLASS/*.jpg     the user's own files; a class is a folder
    ROOT/PROJECT/unlabelled/*.jpg         pictures that wait for a label
    ROOT/PROJECT/runs/3-model/            model folders, as `headstart train` writes them
    ROOT/PROJECT/exports/                 what was exported of them, for other programs
    ROOT/PROJECT/.bin/                    what was deleted, until the bin is emptied
    ROOT/.studio.sqlite                   the page's own state: order of classes, changes, jobs, audits

Everything that changes pictures is a list of renames that is written down before it is done (`journal`), so
that it survives a kill at any moment and can be undone (`projects`). Long work runs in a child process
(`jobs`, `work`). Every file that comes in is looked at before it gets its name (`intake`, `unzip`). The page
itself is plain modules and one file of texts in `assets`.
"""
