/* An emulated camera behind /dev/video0, for tests: preload it, and OpenCV's own V4L2 code talks to it.
 *
 * It grants YUYV only, 64x48 or 32x24 (the nearer one), at most 30 frames a second, whatever is asked. Pictures are a
 * saturated red whose brightness moves with every frame. Frames nobody fetches wait in the buffers, with the time they
 * were taken; once all are full, new ones are lost. Files in the folder CAMERA_DRIVER act the world:
 *   unplugged   every call fails with ENODEV, and the device cannot be opened
 *   frozen      no frame comes any more
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define BUFFERS 8
#define SLOT (64 * 48 * 2 + 4096 - (64 * 48 * 2) % 4096)
#define NEXT(name) dlsym(RTLD_NEXT, name)

static int device = -1, width = 64, height = 48, rate = 30, streaming;
static int queue[BUFFERS], head, tail, count;
static long taken, waiting, oldest; /* frames so far; of them in the buffers; the number of the oldest of those */
static struct timespec started;
static uint8_t *slots[BUFFERS];

static int world_says(const char *what)
{
    char path[4096];
    const char *folder = getenv("CAMERA_DRIVER");
    snprintf(path, sizeof path, "%s/%s", folder ? folder : "/nowhere", what);
    return access(path, F_OK) == 0;
}

static void run(int on)
{
    struct itimerspec every = {0};
    if (on)
        every.it_interval.tv_nsec = every.it_value.tv_nsec = 1000000000L / rate;
    timerfd_settime(device, 0, &every, NULL);
    clock_gettime(CLOCK_MONOTONIC, &started);
    taken = waiting = oldest = 0;
}

static int open_camera(void)
{
    if (world_says("unplugged")) {
        errno = ENODEV;
        return -1;
    }
    if (device >= 0) {
        errno = EBUSY;
        return -1;
    }
    width = 64, height = 48, rate = 30, streaming = head = tail = count = 0;
    return device = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
}

#define OPEN(name)                                                                   \
    int name(const char *path, int flags, ...)                                       \
    {                                                                                \
        mode_t mode = 0;                                                             \
        if (flags & (O_CREAT | O_TMPFILE)) {                                         \
            va_list more;                                                            \
            va_start(more, flags);                                                   \
            mode = va_arg(more, mode_t);                                             \
            va_end(more);                                                            \
        }                                                                            \
        if (strcmp(path, "/dev/video0") == 0)                                        \
            return open_camera();                                                    \
        return ((int (*)(const char *, int, ...))NEXT(#name))(path, flags, mode);    \
    }
OPEN(open)
OPEN(open64)

int close(int fd)
{
    if (fd >= 0 && fd == device)
        device = -1;
    return ((int (*)(int))NEXT("close"))(fd);
}

#define MMAP(name)                                                                                           \
    void *name(void *where, size_t size, int rights, int flags, int fd, off_t offset)                        \
    {                                                                                                        \
        void *(*next)(void *, size_t, int, int, int, off_t) = NEXT(#name);                                   \
        if (fd < 0 || fd != device)                                                                          \
            return next(where, size, rights, flags, fd, offset);                                             \
        return slots[offset / SLOT] = next(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,  \
                                             -1, 0);                                                         \
    }
MMAP(mmap)
MMAP(mmap64)

static int format(struct v4l2_format *f, int change)
{
    if (f->type != V4L2_BUF_TYPE_VIDEO_CAPTURE)
        return EINVAL;
    if (change && f->fmt.pix.width) {
        width = f->fmt.pix.width <= 48 ? 32 : 64;
        height = width == 32 ? 24 : 48;
    }
    f->fmt.pix.width = width;
    f->fmt.pix.height = height;
    f->fmt.pix.pixelformat = V4L2_PIX_FMT_YUYV;
    f->fmt.pix.field = V4L2_FIELD_NONE;
    f->fmt.pix.bytesperline = width * 2;
    f->fmt.pix.sizeimage = width * height * 2;
    f->fmt.pix.colorspace = V4L2_COLORSPACE_SRGB;
    return 0;
}

static int period(struct v4l2_streamparm *p, int change)
{
    struct v4l2_fract *every = &p->parm.capture.timeperframe;
    if (change && every->numerator && every->denominator / every->numerator)
        rate = every->denominator / every->numerator > 30 ? 30 : every->denominator / every->numerator;
    p->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
    every->numerator = 1;
    every->denominator = rate;
    return 0;
}

static int next_picture(struct v4l2_buffer *b)
{
    uint64_t fired;
    if (world_says("frozen") && taken)
        run(0);
    if (!streaming)
        return EAGAIN;
    if (read(device, &fired, sizeof fired) == sizeof fired) {
        if (waiting == 0)
            oldest = taken + 1;
        taken += fired;
        waiting = taken - oldest + 1 < tail - head ? taken - oldest + 1 : tail - head;
    }
    if (waiting == 0)
        return EAGAIN;
    b->index = queue[head++ % BUFFERS];
    for (int i = 0; i < width * height * 2; i += 4) {
        slots[b->index][i] = slots[b->index][i + 2] = 76 + oldest % 16;
        slots[b->index][i + 1] = 90;
        slots[b->index][i + 3] = 240;
    }
    long long ns = started.tv_nsec + oldest * (1000000000LL / rate);
    b->timestamp.tv_sec = started.tv_sec + ns / 1000000000;
    b->timestamp.tv_usec = ns % 1000000000 / 1000;
    b->sequence = oldest++;
    waiting--;
    b->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC | V4L2_BUF_FLAG_DONE;
    b->bytesused = b->length = width * height * 2;
    b->field = V4L2_FIELD_NONE;
    b->memory = V4L2_MEMORY_MMAP;
    b->type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    return 0;
}

/* 0 or an errno. */
static int answer(unsigned request, void *argument)
{
    if (world_says("unplugged"))
        return ENODEV;
    switch (request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *c = argument;
        memset(c, 0, sizeof *c);
        strcpy((char *)c->driver, "emulated");
        strcpy((char *)c->card, "emulated camera");
        c->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        c->capabilities = c->device_caps | V4L2_CAP_DEVICE_CAPS;
        return 0;
    }
    case VIDIOC_ENUMINPUT: {
        struct v4l2_input *input = argument;
        input->type = V4L2_INPUT_TYPE_CAMERA;
        return input->index ? EINVAL : 0;
    }
    case VIDIOC_G_INPUT:
        *(int *)argument = 0;
        return 0;
    case VIDIOC_S_INPUT:
        return 0;
    case VIDIOC_ENUM_FMT: {
        struct v4l2_fmtdesc *d = argument;
        d->pixelformat = V4L2_PIX_FMT_YUYV;
        return d->index ? EINVAL : 0;
    }
    case VIDIOC_G_FMT:
        return format(argument, 0);
    case VIDIOC_TRY_FMT:
    case VIDIOC_S_FMT:
        return format(argument, 1);
    case VIDIOC_G_PARM:
        return period(argument, 0);
    case VIDIOC_S_PARM:
        return period(argument, 1);
    case VIDIOC_REQBUFS: {
        struct v4l2_requestbuffers *r = argument;
        r->count = count = r->count > BUFFERS ? BUFFERS : r->count;
        head = tail = 0;
        return 0;
    }
    case VIDIOC_QUERYBUF: {
        struct v4l2_buffer *b = argument;
        if ((int)b->index >= count)
            return EINVAL;
        b->length = width * height * 2;
        b->m.offset = b->index * SLOT;
        return 0;
    }
    case VIDIOC_QBUF:
        queue[tail++ % BUFFERS] = ((struct v4l2_buffer *)argument)->index;
        return 0;
    case VIDIOC_STREAMON:
        run(streaming = 1);
        return 0;
    case VIDIOC_STREAMOFF:
        run(streaming = 0);
        head = tail = 0;
        return 0;
    case VIDIOC_DQBUF:
        return next_picture(argument);
    }
    return EINVAL;
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list more;
    va_start(more, request);
    void *argument = va_arg(more, void *);
    va_end(more);
    if (fd < 0 || fd != device)
        return ((int (*)(int, unsigned long, ...))NEXT("ioctl"))(fd, request, argument);
    int wrong = answer((unsigned)request, argument);
    errno = wrong ? wrong : errno;
    return wrong ? -1 : 0;
}
