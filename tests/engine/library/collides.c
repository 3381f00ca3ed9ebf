/* The end of a program whose beginning a test writes: it uses the library as any
 * program does. */
#include <pyfio_virtio.h>

#include <errno.h>
#include <string.h>

#define BYTES 4096

static int use_operation(struct pyfio_device *dev, void *buffer)
{
	struct pyfio_operation op = PYFIO_INIT(pyfio_operation);
	struct pyfio_async *async;
	int is_right;

	op.type = PYFIO_OPERATION_READ;
	op.buffer = buffer;
	op.size_bytes = BYTES;
	if (pyfio_async_open(&async, dev))
		return 0;
	is_right = !pyfio_async_submit(async, &op) &&
		   pyfio_async_completed(async, 1, -1) == 1 &&
		   pyfio_async_get_completed(async) == &op && op.result == BYTES;
	pyfio_async_close(async);
	return is_right;
}

static int use(struct pyfio_device *dev)
{
	char *buffer = pyfio_device_alloc(dev, BYTES, 0);
	int is_right;

	if (!buffer)
		return 0;
	memset(buffer, 'x', BYTES);
	is_right = pyfio_device_write(dev, buffer, BYTES, 100) == BYTES &&
		   pyfio_device_read(dev, buffer, BYTES, 100) == BYTES &&
		   !pyfio_device_flush(dev) && use_operation(dev, buffer);
	pyfio_device_free(dev, buffer);
	return is_right;
}

static int fails_in_words(void)
{
	struct pyfio_device_config config = PYFIO_INIT(pyfio_device_config);
	struct pyfio_device *dev;

	config.socket = "/none";
	return pyfio_device_attach(&dev, &config, NULL) == -ENOENT && !dev &&
	       strstr(pyfio_error_message(), "/none: no such socket");
}

int main(int argc, char **argv)
{
	struct pyfio_device_config config = PYFIO_INIT(pyfio_device_config);
	int (*attach)(struct pyfio_device **, const struct pyfio_device_config *,
		      const struct pyfio_attach_options *) = pyfio_device_attach;
	struct pyfio_device *dev;
	int is_right;

	if (argc != 2 || !fails_in_words())
		return 1;
	config.socket = argv[1];
	if (attach(&dev, &config, NULL))
		return 2;
	is_right = use(dev);
	pyfio_device_detach(dev);
	return is_right ? 0 : 3;
}
