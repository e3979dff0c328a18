package aliases

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// maxInclude bounds one include file.
const maxInclude = 16 << 20

// ReadInclude reads an include file that an alias names, with the rights of this
// process. What is not there, or is no regular file, is refused for good; what
// cannot be read, or is not for whoever chose it, may be readable later.
func ReadInclude(path string) (text string, refused *Refusal) {
	text, info, err := readRegular(path, maxInclude)
	if err == nil {
		err = checkWay(path, info)
	}
	var inPath *fs.PathError
	if errors.As(err, &inPath) {
		err = inPath.Err // the path is told below
	}
	var misled *misleading
	switch {
	case err == nil:
		return text, nil
	case errors.As(err, &misled):
		return "", temporary("4.7.1", fmt.Sprintf("include file %s: %v", path, misled))
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENAMETOOLONG):
		return "", permanent("5.2.4", fmt.Sprintf("include file %s does not exist", path))
	case errors.Is(err, errNotRegular), errors.Is(err, errTooLarge), errors.Is(err, syscall.ENXIO):
		return "", permanent("5.2.4", fmt.Sprintf("include file %s: %v", path, err))
	}
	return "", temporary("4.2.4", fmt.Sprintf("read include file %s: %v; make it readable for the mail system", path, err))
}

func permanent(status, text string) *Refusal { return &Refusal{Status: status, Text: text} }

func temporary(status, text string) *Refusal {
	return &Refusal{Temporary: true, Status: status, Text: text}
}
